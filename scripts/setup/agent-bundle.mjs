import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, relative } from 'node:path';
import { BUILTIN, builtins } from './agent-modules.mjs';
import { checkLiterals, descriptorLiterals } from './descriptor-literals.mjs';
import { areInputsUnchanged, replaceFile, writeInputs } from './made-file.mjs';
import { inRoot, root } from './paths.mjs';

/**
 * The agent in few files, which starts in less than half the time of the sources, and the program that
 * loads them. Their names are in server/agent/code-cache.ts.
 */
const DIRECTORY = inRoot('dist', 'agent');
const PROGRAM = inRoot('dist', 'agent', 'main.mjs');
/** What answers the gateway, what users need besides, and what both are made with. */
const BUNDLES = ['agent.cjs', 'sandbox-services.cjs', 'chunk.cjs'];
/** Says from which files, and of which time and size, the bundles were made. */
const INPUTS = inRoot('dist', 'agent', 'inputs.json');

const SHARED = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node22',
  metafile: true,
  write: false,
  logLevel: 'error',
};

/** Whether the agent exists and none of the files it was made from has changed. */
export function isAgentCurrent() {
  const made = [PROGRAM, ...BUNDLES.map((name) => inRoot('dist', 'agent', name))];
  return made.every((file) => existsSync(file)) && areInputsUnchanged(INPUTS);
}

/** Builds the agent. Whoever reads a file meanwhile sees the old or the new one, never a half. */
export async function buildAgent() {
  const { build } = await import('esbuild');
  // The thread that watches files is a program of its own, which the agent carries as a text.
  const worker = await build({
    ...SHARED,
    entryPoints: ['server/agent/watcher/watch-worker.ts'],
    format: 'cjs',
    minify: true,
    // `minify` alone would rename classes, whose names errors carry.
    keepNames: true,
  });
  const bundles = await buildBundles(worker.outputFiles[0].text);
  const program = await build({
    ...SHARED,
    entryPoints: ['server/agent/load.ts'],
    outfile: PROGRAM,
    format: 'esm',
    plugins: [builtins],
  });
  for (const { path, contents } of [...bundles.files, ...program.outputFiles])
    replaceFile(path, contents);
  const inputs = [bundles, program, worker].flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const files = inputs.filter((input) => !input.startsWith(`${BUILTIN}:`));
  const scripts = ['agent-bundle.mjs', 'agent-modules.mjs', 'descriptor-literals.mjs'].map(
    (name) => `scripts/setup/${name}`,
  );
  writeInputs(INPUTS, [...new Set(files), ...scripts]);
  console.log(`built ${relative(root, DIRECTORY)}`);
}

/**
 * The agent, divided at its `import()`. Only modules of JavaScript's own kind can be divided, and V8 keeps
 * what it compiled only of scripts: they are made one after the other.
 */
async function buildBundles(workerProgram) {
  const { build, transform } = await import('esbuild');
  const { outputFiles, metafile } = await build({
    ...SHARED,
    entryPoints: { agent: 'server/agent/main.ts' },
    outdir: DIRECTORY,
    outExtension: { '.js': '.cjs' },
    chunkNames: '[name]',
    splitting: true,
    format: 'esm',
    external: ['node-pty'],
    // In the place of the global `Headers`.
    inject: ['server/agent/rpc/headers.ts'],
    plugins: [builtins, descriptorLiterals],
    define: { WATCH_WORKER_PROGRAM: JSON.stringify(workerProgram) },
  });
  checkLiterals(metafile);
  const names = outputFiles.map(({ path }) => basename(path));
  if (names.sort().join() !== BUNDLES.toSorted().join())
    throw new Error(`the agent was divided into ${names.join(', ')}`);
  const codes = await Promise.all(
    outputFiles.map(async ({ path, text }) => {
      const { code } = await transform(text, {
        ...{ format: 'cjs', platform: 'node', target: SHARED.target },
        // Otherwise it would look for a module, not for a script.
        supported: { 'dynamic-import': false },
      });
      return { path, code };
    }),
  );
  return { files: marked(codes), metafile };
}

/** With their checksum in front: so bundles and what was made of them are known without reading them all. */
function marked(files) {
  const hash = createHash('sha256');
  for (const { code } of files) hash.update(code);
  const mark = `/*${hash.digest('hex')}*/`;
  return files.map(({ path, code }) => ({ path, contents: `${mark}${code}` }));
}
