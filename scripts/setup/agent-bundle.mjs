import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { areInputsUnchanged, replaceFile, writeInputs } from './made-file.mjs';
import { inRoot, root } from './paths.mjs';

/**
 * The agent in one file, which starts in less than half the time of the sources, and the program that
 * loads it. Their names are in server/agent/code-cache.ts.
 */
const BUNDLE = inRoot('dist', 'agent', 'agent.cjs');
const PROGRAM = inRoot('dist', 'agent', 'main.mjs');
/** Says from which files, and of which time and size, the bundle was made. */
const INPUTS = inRoot('dist', 'agent', 'inputs.json');

/** Modules of which these functions alone are used, and none for the start: they are loaded at the first call. */
const LATE = {
  'node:v8': ['setFlagsFromString'],
  'node:zlib': ['gzip', 'gunzip', 'brotliCompress', 'brotliDecompress', 'crc32'],
};

/** Marks Node.js's own modules among what the bundle is made from. */
const BUILTIN = 'builtin';

/** Whether the bundle exists and none of the files it was made from has changed. */
export function isAgentCurrent() {
  return existsSync(BUNDLE) && existsSync(PROGRAM) && areInputsUnchanged(INPUTS);
}

/**
 * Takes Node.js's own modules as they are. An `import` of one reads all that it exports, of `http` also a
 * client and a WebSocket that nobody wants: a third of the time until an agent answers.
 */
const builtins = {
  name: 'builtins',
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: BUILTIN }));
    const take = (path) => `process.getBuiltinModule('${path}')`;
    // A library takes codes of errors from it, when there is one; with it comes all of TLS.
    build.onLoad({ filter: /^node:http2$/, namespace: BUILTIN }, ({ path }) => ({
      contents: `module.exports = { get constants() { return ${take(path)}.constants; } };`,
    }));
    const late = new RegExp(`^(${Object.keys(LATE).join('|')})$`);
    build.onLoad({ filter: late, namespace: BUILTIN }, ({ path }) => ({
      contents: `const late = (name) => (...parameters) => ${take(path)}[name](...parameters);
        for (const name of ${JSON.stringify(LATE[path])}) exports[name] = late(name);`,
    }));
    // An object on top of the module: who imports it copies what it has of its own, which is nothing.
    // To copy all of `util` means to load what it loads late.
    build.onLoad({ filter: /.*/, namespace: BUILTIN }, ({ path }) => ({
      contents: `const taken = ${take(path)}; module.exports = typeof taken === 'function' ? taken : Object.create(taken);`,
    }));
  },
};

/** Builds the bundle. Whoever reads it meanwhile sees the old or the new one, never a half. */
export async function buildAgent() {
  const { build } = await import('esbuild');
  const shared = {
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'node22',
    metafile: true,
    write: false,
    logLevel: 'error',
  };
  // The thread that watches files is a program of its own, which the agent carries as a text.
  const worker = await build({
    ...shared,
    entryPoints: ['server/agent/watcher/watch-worker.ts'],
    format: 'cjs',
    minify: true,
    // `minify` alone would rename classes, whose names errors carry.
    keepNames: true,
  });
  const result = await build({
    ...shared,
    entryPoints: ['server/agent/main.ts'],
    outfile: BUNDLE,
    format: 'cjs',
    external: ['node-pty'],
    // In the place of the global `Headers`.
    inject: ['server/agent/rpc/headers.ts'],
    plugins: [builtins],
    sourcemap: true,
    define: { WATCH_WORKER_PROGRAM: JSON.stringify(worker.outputFiles[0].text) },
    // Of the sources only: there the worker is a file.
    logOverride: { 'empty-import-meta': 'silent' },
  });
  const program = await build({
    ...shared,
    entryPoints: ['server/agent/load.ts'],
    outfile: PROGRAM,
    format: 'esm',
    plugins: [builtins],
  });
  for (const file of [...result.outputFiles, ...program.outputFiles])
    replaceFile(file.path, file.path === BUNDLE ? marked(file.contents) : file.contents);
  const inputs = [result, program, worker].flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const files = inputs.filter((input) => !input.startsWith(`${BUILTIN}:`));
  writeInputs(INPUTS, [...new Set(files), 'scripts/setup/agent-bundle.mjs']);
  console.log(`built ${relative(root, BUNDLE)}`);
}

/** With its checksum in front, by which a bundle and what was made of it are known without reading it all. */
function marked(contents) {
  return Buffer.concat([
    Buffer.from(`/*${createHash('sha256').update(contents).digest('hex')}*/`),
    contents,
  ]);
}
