import { realpath, stat, statfs } from 'node:fs/promises';
import { posix } from 'node:path';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { type ProjectPaths, pathMapping } from '../../core/path-mapping.ts';
import { PSEUDO_DIRECTORIES } from './ignore-matcher.ts';
import type { WatcherLimits } from './limits.ts';

/** What is to be watched, in the API's spelling and in the agent's. */
export type WatchTarget = {
  readonly path: string;
  /** Without symbolic links. */
  readonly directory: string;
};

const MAX_PATH_CHARS = 4096;
/** The types by which the kernel names file systems whose files it makes up: proc, sysfs, cgroup. */
const PSEUDO_TYPES = new Set([0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x1cd1, 0x64626720]);

/** Finds what is to be watched. Throws INVALID_ARGUMENT or NOT_FOUND, which name the field. */
export async function resolveTarget(path: string, paths: ProjectPaths): Promise<WatchTarget> {
  const wanted = checkPath(path === '' ? paths.projectPath : path);
  const directory = await realpath(pathMapping(paths).toAgent(wanted)).catch(() => undefined);
  if (directory === undefined || !(await stat(directory).catch(() => undefined))) {
    throw new DomainError('NOT_FOUND', `path: ${wanted} does not exist or cannot be reached`, {
      field: 'path',
    });
  }
  const { type } = await statfs(directory);
  const isBelow = (root: string) => directory === root || directory.startsWith(`${root}/`);
  if (PSEUDO_TYPES.has(type) || PSEUDO_DIRECTORIES.some(isBelow)) {
    throw invalidArgument(
      'path',
      `${wanted} is in a pseudo file system, which tells of no changes`,
    );
  }
  return { path: wanted, directory };
}

/** Throws INVALID_ARGUMENT unless `ignored` is within its bounds. */
export function checkIgnored(ignored: readonly string[], limits: WatcherLimits): void {
  const { ignoredPatterns, ignoredPatternChars } = limits;
  if (ignored.length > ignoredPatterns)
    throw invalidArgument('ignored', `must be at most ${ignoredPatterns} entries`);
  for (const pattern of ignored) {
    if (pattern.length < 1 || pattern.length > ignoredPatternChars)
      throw invalidArgument('ignored', `each must have 1 to ${ignoredPatternChars} characters`);
    if (pattern.includes('\0')) throw invalidArgument('ignored', 'must not contain NUL');
    if (pattern.startsWith('!'))
      throw invalidArgument('ignored', `${pattern}: nothing that is ignored can be taken back in`);
    if (/^\/*$/.test(pattern) || posix.normalize(pattern) === '.')
      throw invalidArgument('ignored', `${pattern}: the whole tree cannot be ignored`);
  }
}

/** The largest content to deliver. Throws INVALID_ARGUMENT. */
export function checkContentBytes(bytes: number | undefined, limits: WatcherLimits): number {
  const { contentBytes, maxContentBytes } = limits;
  if (bytes === undefined) return contentBytes;
  if (bytes >= 1 && bytes <= maxContentBytes) return bytes;
  throw invalidArgument('maxContentBytes', `must be 1 to ${maxContentBytes}`);
}

function checkPath(path: string): string {
  if (path.length > MAX_PATH_CHARS)
    throw invalidArgument('path', `must be at most ${MAX_PATH_CHARS} characters`);
  if (path.includes('\0')) throw invalidArgument('path', 'must not contain NUL');
  if (!path.startsWith('/')) throw invalidArgument('path', 'must be an absolute path');
  const normal = posix.normalize(path);
  return normal === '/' ? normal : normal.replace(/\/$/, '');
}
