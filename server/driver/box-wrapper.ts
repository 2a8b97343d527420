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
 * stage or nothing, the names of folders and of files to mount there, the table of these mounts (one
 * mount program for all, since each costs 2 ms), the batch for `ip` or nothing, the command. The network
 * is made beside the mounts.
 */
const SCRIPT = `
stage=$1; folders=$2; files=$3; table=$4; routes=$5; shift 5
if [ -n "$routes" ]; then
  { printf '%s' "$routes" | ip -batch -; echo ready >&${NETWORK_READY_FD}; } &
fi
if [ -n "$stage" ]; then
  mount -n -t tmpfs -o mode=755,size=256k computesdk "$stage"
  cd "$stage"
  mkdir $folders
  for file in $files; do : >"$file"; done
  printf '%s' "$table" >table
  mount -n -a -T table
  cd /
fi
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
    ...['/bin/sh', '-ec', SCRIPT, 'sh', stage ?? '', ...stageTable(options)],
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

/** The arguments of the script that say what is mounted in the stage: folders, files, and their table. */
function stageTable({ stage, mounts }: WrapperOptions): [string, string, string] {
  if (stage === undefined) return ['', '', ''];
  const roots = uniqueRoots(mounts);
  const files = new Set(mounts.filter(({ isFile }) => isFile).map(({ root }) => root));
  const names = (wanted: boolean) =>
    roots.flatMap((root, index) => (files.has(root) === wanted ? [index] : [])).join(' ');
  const table = roots.map((root, index) => `${inTable(root)} ${stage}/${index} none bind 0 0\n`);
  return [names(false), names(true), table.join('')];
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

function uniqueRoots(mounts: readonly BoxMount[]): string[] {
  return [...new Set(mounts.map(({ root }) => root))];
}
