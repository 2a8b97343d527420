import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { BUNDLE_NAMES, PROGRAM_NAME } from '../agent/code-cache.ts';
import { DomainError } from '../core/domain-error.ts';

/** The files that an agent runs from. */
export type AgentProgram = {
  /** The node binary. */
  readonly node: string;
  /** Folder with the agent's program, `main.mjs`, and what that reads. */
  readonly directory: string;
  /** Folders of the packages that are not in the bundle (they hold native code), by package name. */
  readonly packages: Readonly<Record<string, string>>;
};

/** The package that terminals are made with. */
const TERMINALS = 'node-pty';
type NativeLoader = { readonly loadNativeModule: (name: string) => unknown };

/** Permission bits of users who are neither owner nor in the group. */
const READ = 0o4;
const EXECUTE = 0o1;

/** Finds the bundled agent of this installation. Throws DRIVER_UNAVAILABLE when it was not built. */
export function findAgentProgram(): AgentProgram {
  const root = packageRoot(import.meta.dirname);
  const directory = join(root, 'dist', 'agent');
  if (!existsSync(join(directory, PROGRAM_NAME))) {
    throw new DomainError(
      'DRIVER_UNAVAILABLE',
      `the agent is not built: ${directory}/${PROGRAM_NAME} is missing; run \`npm run build:agent\``,
    );
  }
  const require = createRequire(join(root, 'package.json'));
  const manifest = require.resolve(`${TERMINALS}/package.json`);
  return {
    node: realpathSync(process.execPath),
    directory: realpathSync(directory),
    packages: { [TERMINALS]: realpathSync(dirname(manifest)) },
  };
}

/** Throws DRIVER_UNAVAILABLE unless every user may read the program, as a box of its own uid must. */
export async function checkReadable({ node, directory, packages }: AgentProgram): Promise<void> {
  const files = [PROGRAM_NAME, ...BUNDLE_NAMES]
    .map((name) => join(directory, name))
    .filter(existsSync);
  for (const path of [node, directory, ...files, ...Object.values(packages)]) {
    const entry = await stat(path);
    const needed = entry.isFile() && path !== node ? READ : READ | EXECUTE;
    if ((entry.mode & needed) === needed) continue;
    throw new DomainError(
      'DRIVER_UNAVAILABLE',
      `boxes have users of their own, and ${path} cannot be read by them; run \`chmod -R o+rX ${files.includes(path) ? directory : path}\``,
    );
  }
}

/**
 * Throws DRIVER_UNAVAILABLE unless this Node.js, which runs the agents too, can load the native code of
 * terminals. An agent that could not would end after it was greeted, and take its sandbox with it.
 */
export function checkNativeCode({ packages }: AgentProgram): void {
  const folder = packages[TERMINALS];
  if (folder === undefined) return;
  try {
    const require = createRequire(import.meta.url);
    const utils: NativeLoader = require(join(folder, 'lib', 'utils.js'));
    utils.loadNativeModule('pty');
  } catch (error) {
    // What follows is a list of files.
    const [cause] = String(error).split('\n', 1);
    throw new DomainError(
      'DRIVER_UNAVAILABLE',
      `the native code of ${TERMINALS} cannot be loaded here: ${cause}; build it for this system with \`npm rebuild ${TERMINALS} --build-from-source\`, which needs Python, make and a C++ compiler`,
    );
  }
}

/** The folder of our package.json, which is not the nearest one in a build that has its own. */
function packageRoot(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && nameIn(manifest) === 'computesdk') return folder;
    if (folder === dirname(folder)) throw new Error(`no package.json of computesdk above ${start}`);
  }
}

function nameIn(manifest: string): unknown {
  const value: unknown = JSON.parse(readFileSync(manifest, 'utf8'));
  return typeof value === 'object' && value !== null ? Reflect.get(value, 'name') : undefined;
}
