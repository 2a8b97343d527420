import { chmodSync, closeSync, fstatSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { DomainError } from '../core/domain-error.ts';

/** A socket that listens and that nobody knows yet. */
export interface PendingSocket {
  /** To be inherited by the agent. Valid until {@link publish} or {@link discard}. */
  readonly fd: number;
  /** Gives the socket its name and closes this process's copy: from now on the agent alone accepts. */
  publish(): void;
  /** Takes the socket back. Does nothing once it was published. */
  discard(): void;
}

const SOCKET_NAME = 'agent.sock';
const DRAFT_NAME = 'agent.new';
/** `sun_path` holds 108 bytes on Linux and 104 elsewhere, the closing NUL included. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;
/** Sandboxes lie in one folder; only tests see more. The folder used longest ago is closed above it. */
const MAX_OPEN_FOLDERS = 16;

/** Where agents listen: paths short enough for the system, whatever the depth of the data directory. */
export class AgentSockets {
  /** Descriptors of the folders that hold sandbox directories too deep to be named in full. */
  readonly #folders = new Map<string, number>();

  /** Path of the agent's socket in a sandbox's directory. Valid in this process. */
  path(directory: string): string {
    return this.#short(directory, SOCKET_NAME);
  }

  /** Listens on a new socket in `directory`, which takes the place of an earlier one when published. */
  async listen(directory: string): Promise<PendingSocket> {
    const draft = this.#short(directory, DRAFT_NAME);
    const path = this.#short(directory, SOCKET_NAME);
    rmSync(draft, { force: true });
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path: draft, backlog: 511 }, resolve);
    });
    chmodSync(draft, 0o600);
    let isOpen = true;
    const finish = (task: () => void) => {
      if (!isOpen) return;
      isOpen = false;
      task();
      server.close();
    };
    return {
      fd: descriptorOf(server),
      // Closing removes the name it listened on, so the final name must be given before.
      publish: () => finish(() => renameSync(draft, path)),
      discard: () => finish(() => {}),
    };
  }

  close(): void {
    for (const fd of this.#folders.values()) closeSync(fd);
    this.#folders.clear();
  }

  #short(directory: string, name: string): string {
    const full = join(directory, name);
    if (Buffer.byteLength(full) <= MAX_PATH_BYTES) return full;
    if (process.platform !== 'linux') {
      throw new DomainError(
        'BAD_SETTING',
        `COMPUTESDK_DATA_DIR: the socket path ${full} is longer than ${MAX_PATH_BYTES} bytes; choose a shorter directory`,
      );
    }
    const fd = this.#folder(dirname(directory));
    return `/proc/self/fd/${fd}/${basename(directory)}/${name}`;
  }

  #folder(path: string): number {
    const known = this.#folders.get(path);
    if (known !== undefined && isSameFile(known, path)) return known;
    this.#forget(path);
    const [oldest] = this.#folders.keys();
    if (oldest !== undefined && this.#folders.size >= MAX_OPEN_FOLDERS) this.#forget(oldest);
    const fd = openSync(path, 'r');
    this.#folders.set(path, fd);
    return fd;
  }

  #forget(path: string): void {
    const fd = this.#folders.get(path);
    if (fd === undefined) return;
    this.#folders.delete(path);
    closeSync(fd);
  }
}

function isSameFile(fd: number, path: string): boolean {
  const open = fstatSync(fd);
  const named = statSync(path, { throwIfNoEntry: false });
  return named !== undefined && named.ino === open.ino && named.dev === open.dev;
}

/** Node has no public way to hand a listening socket to a child; the handle's fd is the one there is. */
function descriptorOf(server: Server): number {
  const handle: unknown = Reflect.get(server, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null && Reflect.get(handle, 'fd');
  if (typeof fd !== 'number' || fd < 0)
    throw new Error('this Node.js does not show the fd of a listening socket');
  return fd;
}
