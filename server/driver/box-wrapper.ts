import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { BoxMount } from './bubblewrap-arguments.ts';

/** Descriptor on which the wrapper says that the network namespace is there. */
export const NETWORK_READY_FD = 5;

export type WrapperOptions = {
  /** Host uid and gid of the box. Present exactly when this process is root. */
  readonly uid?: number;
  /** File with the {@link stageTable}, if the box has a stage. */
  readonly stageFile?: string;
  /** Addresses that a network namespace of its own must not reach. Absent: no own namespace is made here. */
  readonly unreachable?: readonly string[];
  /** Hard limit of open files of this process. */
  readonly openFiles: number;
};

/** Processes and threads of one box, counted per host uid: only where a box has its own. */
const MAX_PROCESSES = 4096;
/** Open files of one process in a box. */
const MAX_OPEN_FILES = 65_536;

/** Folders to stage in. One is needed that no root lies in, since it gets covered. */
const STAGES = ['/mnt', '/media', '/srv', '/tmp'];

/**
 * Runs before bubblewrap, in a mount namespace (and a network namespace) of its own. Arguments: the file
 * with the table of the stage or nothing, the batch for `ip` or nothing, the command. The network is made
 * beside the mounts; all of these are made by one program, since each costs 2 ms.
 */
const SCRIPT = `
table=$1; routes=$2; shift 2
if [ -n "$routes" ]; then
  { printf '%s' "$routes" | ip -batch -; echo ready >&${NETWORK_READY_FD}; } &
fi
if [ -n "$table" ]; then mount -n -a -T "$table"; fi
if [ -n "$routes" ]; then wait "$!"; fi
exec ${NETWORK_READY_FD}>&-
exec "$@"
`;

/** A folder that no root lies in. */
export function chooseStage(mounts: readonly BoxMount[]): string {
  const stage = STAGES.filter((path) => existsSync(path))
    .map((path) => realpathSync(path))
    .find((path) => !mounts.some(({ root }) => root === path || root.startsWith(`${path}/`)));
  if (stage === undefined)
    throw new Error(`each of ${STAGES.join(', ')} is missing or holds files of the box`);
  return stage;
}

/** The mounts as bubblewrap finds them: in the stage. */
export function stagedMounts(mounts: readonly BoxMount[], stage: string): BoxMount[] {
  return mounts.map((mount, index) => {
    const folder = `${stage}/${index}`;
    return { ...mount, root: mount.isFile ? `${folder}/${basename(mount.root)}` : folder };
  });
}

/**
 * The table of mounts (fstab) that makes the stage: a folder that the mounts' roots appear in, since the
 * box's user may not reach them where they are. For a file its folder is there, as only a program could
 * make the file to mount it on, and all that is mounted in that: the file may be.
 */
export function stageTable(mounts: readonly BoxMount[], stage: string): string {
  const lines = mounts.map(({ root, isFile }, index) => {
    const [folder, kind] = isFile ? [dirname(root), 'rbind'] : [root, 'bind'];
    return `${inTable(folder)} ${stage}/${index} none ${kind},X-mount.mkdir 0 0\n`;
  });
  return `computesdk ${stage} tmpfs mode=755,size=256k 0 0\n${lines.join('')}`;
}

/** The whole command line that starts `command` (bubblewrap), program name first. */
export function wrap(command: readonly string[], options: WrapperOptions): string[] {
  const { uid, stageFile, unreachable } = options;
  const limits = [
    ...['prlimit', '--core=0', `--nofile=${Math.min(options.openFiles, MAX_OPEN_FILES)}`],
    ...(uid === undefined ? [] : [`--nproc=${MAX_PROCESSES}`]),
    '--',
  ];
  const identity =
    uid === undefined
      ? []
      : [
          'setpriv',
          '--reuid',
          `${uid}`,
          '--regid',
          `${uid}`,
          '--clear-groups',
          '--no-new-privs',
          '--',
        ];
  const run = [...limits, ...identity, ...command];
  if (stageFile === undefined && unreachable === undefined) return run;
  return [
    ...unshare(options),
    ...['/bin/sh', '-ec', SCRIPT, 'sh', stageFile ?? ''],
    unreachable === undefined ? '' : networkBatch(unreachable),
    ...run,
  ];
}

function unshare({ uid, stageFile, unreachable }: WrapperOptions): string[] {
  return [
    'unshare',
    // Who is not root needs to be it in a namespace of his own to make the others.
    ...(uid === undefined ? ['--user', '--map-root-user'] : []),
    ...(stageFile === undefined ? [] : ['--mount', '--propagation', 'private']),
    ...(unreachable === undefined ? [] : ['--net']),
    '--',
  ];
}

/** Spells a path for a table of mounts (fstab), where blanks divide. */
function inTable(path: string): string {
  return path.replace(
    /[\s\\#"]/g,
    (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
}

function networkBatch(unreachable: readonly string[]): string {
  const routes = unreachable.map((address) => `route add blackhole ${address}\n`);
  return `link set lo up\n${routes.join('')}`;
}
