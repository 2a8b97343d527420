import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build, stop } from 'esbuild';
import type { TestProject } from 'vitest/node';
import { GATEWAY_VARIABLE } from '../support/gateway.ts';
import { repositoryRoot } from '../support/paths.ts';

/**
 * Makes one file of the gateway's sources, from which the run's gateways start in a third of the time:
 * there are hundreds of them. It is made anew for each run, so it is never older than the sources.
 */
export async function setup({ config }: TestProject): Promise<(() => void) | undefined> {
  // Sources change while it watches.
  if (config.watch) return;
  const tests = join(repositoryRoot, 'dist', 'tests');
  mkdirSync(tests, { recursive: true });
  // A run that was killed could not remove its own.
  for (const name of readdirSync(tests))
    if (!isAlive(Number(name))) rmSync(join(tests, name), { recursive: true, force: true });
  const directory = join(tests, `${process.pid}`);
  await build({
    absWorkingDir: repositoryRoot,
    entryPoints: {
      main: 'server/gateway/main.ts',
      'sqlite-worker': 'server/gateway/store/sqlite-worker.ts',
    },
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    // CommonJS code in the bundle calls `require` for Node.js's own modules.
    banner: {
      js: "import { createRequire as makeRequire_ } from 'node:module'; const require = makeRequire_(import.meta.url);",
    },
    // Errors and logs carry names of classes.
    keepNames: true,
    logLevel: 'error',
  });
  // Its process would stay for as long as this one.
  await stop();
  process.env[GATEWAY_VARIABLE] = join(directory, 'main.mjs');
  return () => rmSync(directory, { recursive: true, force: true });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
