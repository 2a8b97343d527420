import { existsSync, lstatSync, readlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import { PROGRAM_NAME } from '../agent/code-cache.ts';
import { PROJECT_PATH } from '../agent/config.ts';
import type { AgentProgram } from './agent-program.ts';
import type { BoxFolders } from './box-directory.ts';
import { BOX_USER } from './bubblewrap-etc.ts';

/** What of bubblewrap's command line this version knows. */
export type BubblewrapFeatures = {
  readonly disableUserns: boolean;
  readonly tmpfsSize: boolean;
};

/** A file or folder of the host that a box sees. */
export type BoxMount = {
  /** On the host, absolute, without symlinks. */
  readonly root: string;
  /** Whether the root is a file. */
  readonly isFile?: boolean;
  /** In the box. */
  readonly target: string;
  readonly isWritable: boolean;
};

export type BubblewrapOptions = {
  readonly features: BubblewrapFeatures;
  readonly hostname: string;
  readonly mounts: readonly BoxMount[];
  /** Names in the box's /etc that lead to files of its own, in {@link OWN_ETC}. */
  readonly ownEtc: readonly string[];
  /** Names in the host's /etc that the box may read. */
  readonly sharedEtc: readonly string[];
  /** Makes a network namespace with nothing but its own loopback. Else the one it is started in is used. */
  readonly unshareNet: boolean;
  readonly environment: Readonly<Record<string, string>>;
  /** Descriptor that bubblewrap writes the pid of the box's first process to. */
  readonly infoFd: number;
  /** Descriptor that stays open for as long as the box lives. */
  readonly syncFd?: number;
  readonly command: readonly string[];
};

/** Where the agent's program lies in a box. Its folder of binaries is the last one on the path. */
export const PROGRAM_ROOT = '/opt/computesdk';
/** The agent's program in a box. */
export const AGENT_FILE = `${PROGRAM_ROOT}/agent/${PROGRAM_NAME}`;
/** Where the box's own files of /etc lie. One mount and links take less time than a mount for each. */
const OWN_ETC = `${PROGRAM_ROOT}/etc`;
/** The program search path of a box. */
export const BOX_PATH = `${BOX_USER.home}/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${PROGRAM_ROOT}/bin`;

/** Most that /tmp of one box holds, in memory. */
const TMP_BYTES = 1024 ** 3;
/** Most that /dev/shm of one box holds, in memory. Browsers need it. */
const SHM_BYTES = 256 * 1024 ** 2;
/** Folders of programs beside /usr. A link (merged /usr) stays a link. */
const SYSTEM_FOLDERS = [
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
  '/nix/store',
  '/gnu/store',
];

/** Where the box's files come from: its two folders, the agent's program, and its own part of /etc. */
export function boxMounts(options: {
  readonly folders: BoxFolders;
  readonly program: AgentProgram;
  /** Folder with the box's own files of /etc. */
  readonly etc: string;
}): BoxMount[] {
  const { folders, program } = options;
  const readOnly = (root: string, target: string) => ({ root, target, isWritable: false });
  return [
    { root: folders.project, target: PROJECT_PATH, isWritable: true },
    { root: folders.home, target: BOX_USER.home, isWritable: true },
    { ...readOnly(program.node, `${PROGRAM_ROOT}/bin/node`), isFile: true },
    readOnly(program.directory, `${PROGRAM_ROOT}/agent`),
    ...Object.entries(program.packages).map(([name, root]) =>
      readOnly(root, `${PROGRAM_ROOT}/node_modules/${name}`),
    ),
    readOnly(options.etc, OWN_ETC),
  ];
}

/** The command line of bubblewrap for a box, program name included. */
export function bubblewrapArguments(options: BubblewrapOptions): string[] {
  return [
    'bwrap',
    ...namespaces(options),
    ...rootFileSystem(options),
    ...Object.entries(options.environment).flatMap(([name, value]) => ['--setenv', name, value]),
    ...['--chdir', PROJECT_PATH, '--info-fd', String(options.infoFd)],
    ...(options.syncFd === undefined ? [] : ['--sync-fd', String(options.syncFd)]),
    '--',
    ...options.command,
  ];
}

function namespaces({ features, hostname, unshareNet }: BubblewrapOptions): string[] {
  return [
    ...[
      '--unshare-user',
      '--unshare-pid',
      '--unshare-ipc',
      '--unshare-uts',
      '--unshare-cgroup-try',
    ],
    ...(unshareNet ? ['--unshare-net'] : []),
    ...(features.disableUserns ? ['--disable-userns'] : []),
    ...['--uid', String(BOX_USER.id), '--gid', String(BOX_USER.id)],
    ...['--hostname', hostname, '--cap-drop', 'ALL', '--new-session', '--clearenv'],
  ];
}

function rootFileSystem(options: BubblewrapOptions): string[] {
  const { features } = options;
  const scratch = (path: string, bytes: number) => [
    ...['--perms', '1777'],
    ...(features.tmpfsSize ? ['--size', String(bytes)] : []),
    ...['--tmpfs', path],
  ];
  return [
    ...['--ro-bind', '/usr', '/usr'],
    ...SYSTEM_FOLDERS.filter((path) => existsSync(path)).flatMap(systemFolder),
    ...options.ownEtc.flatMap((name) => ['--symlink', `${OWN_ETC}/${name}`, `/etc/${name}`]),
    ...options.sharedEtc.flatMap((name) => sharedEntry(`/etc/${name}`)),
    ...['--proc', '/proc', '--dev', '/dev'],
    ...scratch('/dev/shm', SHM_BYTES),
    ...scratch('/tmp', TMP_BYTES),
    ...['--dir', '/run', '--dir', '/var', '--symlink', '../tmp', '/var/tmp'],
    ...options.mounts.flatMap(({ root, target, isWritable }) => [
      isWritable ? '--bind' : '--ro-bind',
      root,
      target,
    ]),
    ...['--remount-ro', '/'],
  ];
}

/**
 * A link to what every box sees stays a link. Of `localtime` it is the name of the time zone: without it
 * Node.js compares the file with every zone of the system, which takes longer than its start.
 */
function sharedEntry(path: string): string[] {
  const target = lstatSync(path).isSymbolicLink() ? resolve('/etc', readlinkSync(path)) : '';
  return target.startsWith('/usr/') ? ['--symlink', target, path] : ['--ro-bind', path, path];
}

function systemFolder(path: string): string[] {
  return lstatSync(path).isSymbolicLink()
    ? ['--symlink', readlinkSync(path), path]
    : ['--ro-bind', path, path];
}
