import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
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
  if (!existsSync(BUNDLE) || !existsSync(INPUTS)) return false;
  try {
    const inputs = Object.entries(JSON.parse(readFileSync(INPUTS, 'utf8')));
    return inputs.every(([path, mark]) => markOf(path) === mark);
  } catch {
    return false;
  }
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
  mkdirSync(inRoot('dist', 'agent'), { recursive: true });
  for (const file of result.outputFiles) replaceFile(file.path, file.contents);
  const inputs = [...Object.keys(result.metafile.inputs), 'scripts/setup/agent-bundle.mjs'];
  const marks = Object.fromEntries(inputs.map((path) => [path, markOf(path)]));
  replaceFile(INPUTS, JSON.stringify(marks));
  console.log(`built ${relative(root, BUNDLE)}`);
}

function markOf(path) {
  const { mtimeMs, size } = statSync(inRoot(path));
  return `${mtimeMs}:${size}`;
}

function replaceFile(path, contents) {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, contents);
  renameSync(temporary, path);
}
