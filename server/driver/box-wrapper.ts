import { existsSync, realpathSync } from 'node:fs';
import type { BoxMount } from './bubblewrap-arguments.ts';

/** Descriptor on which the wrapper says that the network namespace is there. */
export const NETWORK_READY_FD = 5;

export type WrapperOptions = {
  /** Host uid and gid of the box. Present exactly when this process is root. */
  readonly uid?: number;
  /** Folder that the mounts' roots appear in, since the box's user may not reach them where they are. */
  readonly stage?: string;
  readonly mounts: readonly BoxMount[];
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
 * Runs before bubblewrap, in a mount namespace (and a network namespace) of its own. Arguments: the
 * stage or nothing, pairs of a root and its name there, `--`, the batch for `ip` or nothing, the command.
 */
const SCRIPT = `
stage=$1; shift
if [ -n "$stage" ]; then mount -n -t tmpfs -o mode=755,size=64k computesdk "$stage"; fi
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir "$stage/$2"; else : >"$stage/$2"; fi
  mount -n --bind "$1" "$stage/$2"
  shift 2
done
routes=$2; shift 2
if [ -n "$routes" ]; then printf '%s' "$routes" | ip -batch -; echo ready >&${NETWORK_READY_FD}; fi
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
export function stagedMounts(mounts: readonly BoxMount[], stage: string | undefined): BoxMount[] {
  if (stage === undefined) return [...mounts];
  const roots = uniqueRoots(mounts);
  return mounts.map((mount) => ({ ...mount, root: `${stage}/${roots.indexOf(mount.root)}` }));
}

/** The whole command line that starts `command` (bubblewrap), program name first. */
export function wrap(command: readonly string[], options: WrapperOptions): string[] {
  const { uid, stage, unreachable } = options;
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
  if (stage === undefined && unreachable === undefined) return run;
  return [
    ...unshare(options),
    ...['/bin/sh', '-ec', SCRIPT, 'sh', stage ?? ''],
    ...(stage === undefined
      ? []
      : uniqueRoots(options.mounts).flatMap((root, index) => [root, `${index}`])),
    '--',
    unreachable === undefined ? '' : networkBatch(unreachable),
    ...run,
  ];
}

function unshare({ uid, stage, unreachable }: WrapperOptions): string[] {
  return [
    'unshare',
    // Who is not root needs to be it in a namespace of his own to make the others.
    ...(uid === undefined ? ['--user', '--map-root-user'] : []),
    ...(stage === undefined ? [] : ['--mount', '--propagation', 'private']),
    ...(unreachable === undefined ? [] : ['--net']),
    '--',
  ];
}

function networkBatch(unreachable: readonly string[]): string {
  const routes = unreachable.map((address) => `route add blackhole ${address}\n`);
  return `link set lo up\n${routes.join('')}`;
}

function uniqueRoots(mounts: readonly BoxMount[]): string[] {
  return [...new Set(mounts.map(({ root }) => root))];
}
