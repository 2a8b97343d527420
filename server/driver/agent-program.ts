import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { DomainError } from '../core/domain-error.ts';

/** The files that an agent runs from. */
export type AgentProgram = {
  /** The node binary. */
  readonly node: string;
  /** Folder with the bundled agent, `main.js`. */
  readonly directory: string;
  /** Folders of the packages that are not in the bundle (they hold native code), by package name. */
  readonly packages: Readonly<Record<string, string>>;
};

/** Finds the bundled agent of this installation. Throws DRIVER_UNAVAILABLE when it was not built. */
export function findAgentProgram(): AgentProgram {
  const root = packageRoot(import.meta.dirname);
  const directory = join(root, 'dist', 'agent');
  if (!existsSync(join(directory, 'main.js'))) {
    throw new DomainError(
      'DRIVER_UNAVAILABLE',
      `the agent is not built: ${directory}/main.js is missing; run \`npm run build:agent\``,
    );
  }
  const require = createRequire(join(root, 'package.json'));
  const manifest = require.resolve('node-pty/package.json');
  return {
    node: realpathSync(process.execPath),
    directory: realpathSync(directory),
    packages: { 'node-pty': realpathSync(dirname(manifest)) },
  };
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
