import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { areInputsUnchanged, replaceFile, writeInputs } from './made-file.mjs';
import { inRoot, root } from './paths.mjs';

/**
 * The agent in one file: it starts in less than half the time of the sources, and a box needs to
 * see one file only.
 */
const BUNDLE = inRoot('dist', 'agent', 'main.js');
/** Says from which files, and of which time and size, the bundle was made. */
const INPUTS = inRoot('dist', 'agent', 'inputs.json');

/** Whether the bundle exists and none of the files it was made from has changed. */
export function isAgentCurrent() {
  return existsSync(BUNDLE) && areInputsUnchanged(INPUTS);
}

/** Builds the bundle. Whoever reads it meanwhile sees the old or the new one, never a half. */
export async function buildAgent() {
  const { build } = await import('esbuild');
  const result = await build({
    absWorkingDir: root,
    entryPoints: ['server/agent/main.ts'],
    outfile: BUNDLE,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    external: ['node-pty'],
    sourcemap: true,
    metafile: true,
    write: false,
    logLevel: 'error',
    // CommonJS code in the bundle calls `require` for Node.js's own modules.
    banner: {
      js: "import { createRequire as makeRequire_ } from 'node:module'; const require = makeRequire_(import.meta.url);",
    },
  });
  for (const file of result.outputFiles) replaceFile(file.path, file.contents);
  writeInputs(INPUTS, [...Object.keys(result.metafile.inputs), 'scripts/setup/agent-bundle.mjs']);
  console.log(`built ${relative(root, BUNDLE)}`);
}
