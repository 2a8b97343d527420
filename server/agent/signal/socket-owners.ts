import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { posix } from 'node:path';

/** The program that holds a socket. */
export type SocketOwner = { readonly pid: number; readonly process: string };

/** Finds who holds sockets. */
export interface OwnerFinder {
  /** The owners of these sockets, by inode. One that cannot be found is missing. */
  find(inodes: ReadonlySet<string>): Promise<ReadonlyMap<string, SocketOwner>>;
}

/** Processes looked at before other work gets its turn: about a millisecond. */
const BATCH = 16;
const MAX_NAME_CHARS = 64;

/**
 * Finds owners in /proc, the lowest pid first: a parent rather than the workers that share its socket.
 * `mark` is an entry of the environment, `NAME=value`, that a process must have; empty: any may own.
 */
export function procOwners(mark: string): OwnerFinder {
  return {
    async find(inodes) {
      const owners = new Map<string, SocketOwner>();
      const pids = readdirSync('/proc')
        .map(Number)
        .filter((pid) => pid > 0 && pid !== process.pid)
        .sort((one, other) => one - other);
      for (const [index, pid] of pids.entries()) {
        if (owners.size === inodes.size) break;
        if (index % BATCH === BATCH - 1) await new Promise((resolve) => setImmediate(resolve));
        if (mark !== '' && !hasMark(pid, mark)) continue;
        for (const inode of socketsOf(pid)) {
          if (inodes.has(inode) && !owners.has(inode))
            owners.set(inode, { pid, process: nameOf(pid) });
        }
      }
      return owners;
    },
  };
}

function hasMark(pid: number, mark: string): boolean {
  return `\0${read(`/proc/${pid}/environ`)}\0`.includes(`\0${mark}\0`);
}

/** Inodes of the sockets that a process holds. None where it may not be looked at, or is gone. */
function socketsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).flatMap((fd) => {
      const target = readLink(`${folder}/${fd}`);
      return target.startsWith('socket:[') ? [target.slice('socket:['.length, -1)] : [];
    });
  } catch {
    return [];
  }
}

/** What people call the program. The kernel's own name for it is that of a thread, in Node.js for one. */
function nameOf(pid: number): string {
  const [program = ''] = read(`/proc/${pid}/cmdline`).split('\0', 1);
  // Some programs write a sentence there: `nginx: master process`.
  const [name = ''] = posix.basename(program).split(/[\s:]/, 1);
  return printable(name || read(`/proc/${pid}/comm`).trim()).slice(0, MAX_NAME_CHARS);
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
