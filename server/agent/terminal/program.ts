import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { type ProjectPaths, pathMapping } from '../../core/path-mapping.ts';
import type { ProcessSpec } from './terminal-process.ts';

/** What a caller says about the program to start. Empty texts mean the default. */
export type ProgramRequest = {
  readonly shell: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
};

/** Where programs run. */
export type ProgramSurroundings = ProjectPaths & {
  /** The whole environment of a program, before the caller's additions. */
  readonly environment: Readonly<Record<string, string>>;
  /** Names that the caller must not set. */
  readonly reservedNames: readonly string[];
};

/** A program that can be started, in the agent's spelling and in the API's. */
export type Program = {
  readonly spec: ProcessSpec;
  readonly shell: string;
  readonly cwd: string;
};

const DEFAULT_SHELLS = ['/bin/bash', '/bin/sh'];
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';
const MAX_PATH_CHARS = 4096;
const MAX_ENTRIES = 256;
const MAX_NAME_CHARS = 256;
const MAX_VALUE_CHARS = 32_768;
/** The kernel refuses a longer argument or environment entry, its terminating NUL included. */
const MAX_ENTRY_BYTES = 128 * 1024;

/**
 * Finds and checks what is to be started, before anything is. Throws INVALID_ARGUMENT or
 * SPAWN_FAILED, which name the field.
 */
export async function resolveProgram(
  request: ProgramRequest,
  surroundings: ProgramSurroundings,
): Promise<Program> {
  checkArgs(request.args);
  checkEnvironment(request.env, surroundings.reservedNames);
  const paths = pathMapping(surroundings);
  const cwd = checkPath('cwd', request.cwd || surroundings.projectPath);
  if (!cwd.startsWith('/')) throw invalidArgument('cwd', 'must be an absolute path');
  const directory = paths.toAgent(cwd);
  await requireDirectory(cwd, directory);
  const env = { ...surroundings.environment, ...request.env };
  const shell = checkPath('shell', request.shell);
  const file =
    shell === ''
      ? await findDefaultShell()
      : await findShell(shell, env['PATH'] ?? DEFAULT_PATH, paths.toAgent);
  return {
    spec: { file, args: request.args, cwd: directory, env },
    shell: paths.toApi(file),
    cwd: posix.normalize(cwd),
  };
}

function checkPath(field: string, path: string): string {
  if (path.length > MAX_PATH_CHARS)
    throw invalidArgument(field, `must be at most ${MAX_PATH_CHARS} characters`);
  if (path.includes('\0')) throw invalidArgument(field, 'must not contain NUL');
  return path;
}

async function requireDirectory(cwd: string, directory: string): Promise<void> {
  const found = await stat(directory).catch(() => undefined);
  if (!found) throw spawnFailed('cwd', `${cwd} does not exist or cannot be reached`);
  if (!found.isDirectory()) throw spawnFailed('cwd', `${cwd} is not a directory`);
  const isAllowed = await access(directory, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!isAllowed) throw spawnFailed('cwd', `${cwd} may not be entered`);
}

async function findDefaultShell(): Promise<string> {
  for (const shell of DEFAULT_SHELLS)
    if ((await executability(shell)) === 'executable') return shell;
  throw spawnFailed('shell', `none given, and there is no ${DEFAULT_SHELLS.join(' or ')}`);
}

async function findShell(
  shell: string,
  searchPath: string,
  toAgent: (path: string) => string,
): Promise<string> {
  if (shell.startsWith('/')) {
    const file = toAgent(shell);
    const result = await executability(file);
    if (result === 'executable') return file;
    throw spawnFailed(
      'shell',
      `${shell} ${result === 'missing' ? 'does not exist' : 'is not an executable file'}`,
    );
  }
  if (shell.includes('/'))
    throw invalidArgument('shell', 'must be an absolute path, or a name to look up in PATH');
  for (const directory of searchPath.split(':')) {
    if (!directory.startsWith('/')) continue;
    const file = toAgent(posix.join(directory, shell));
    if ((await executability(file)) === 'executable') return file;
  }
  throw spawnFailed('shell', `${shell} was not found in PATH`);
}

async function executability(file: string): Promise<'executable' | 'missing' | 'not executable'> {
  const found = await stat(file).catch(() => undefined);
  if (!found) return 'missing';
  if (!found.isFile()) return 'not executable';
  return access(file, constants.X_OK).then(
    () => 'executable',
    () => 'not executable',
  );
}

function checkArgs(args: readonly string[]): void {
  if (args.length > MAX_ENTRIES)
    throw invalidArgument('args', `must be at most ${MAX_ENTRIES} entries`);
  for (const argument of args) checkValue('args', argument, 0);
}

function checkEnvironment(
  env: Readonly<Record<string, string>>,
  reserved: readonly string[],
): void {
  const entries = Object.entries(env);
  if (entries.length > MAX_ENTRIES)
    throw invalidArgument('env', `must be at most ${MAX_ENTRIES} entries`);
  for (const [name, value] of entries) {
    if (name.length < 1 || name.length > MAX_NAME_CHARS || /[=\0]/.test(name)) {
      throw invalidArgument(
        'env',
        `a name must be 1 to ${MAX_NAME_CHARS} characters without = or NUL`,
      );
    }
    if (reserved.includes(name)) throw invalidArgument('env', `${name} is reserved`);
    checkValue('env', value, Buffer.byteLength(name) + 1);
  }
}

function checkValue(field: string, value: string, prefixBytes: number): void {
  if (
    value.length > MAX_VALUE_CHARS ||
    prefixBytes + Buffer.byteLength(value) + 1 > MAX_ENTRY_BYTES
  ) {
    throw invalidArgument(
      field,
      `each must be at most ${MAX_VALUE_CHARS} characters and ${MAX_ENTRY_BYTES} bytes`,
    );
  }
  if (value.includes('\0')) throw invalidArgument(field, 'must not contain NUL');
}

function spawnFailed(field: string, problem: string): DomainError {
  return new DomainError('SPAWN_FAILED', `${field}: ${problem}`, { field });
}
