import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { areInputsUnchanged, replaceFile, writeInputs } from './made-file.mjs';
import { inRoot, root } from './paths.mjs';

/** The sources of the workspace page. */
const SOURCE = inRoot('web');
const TARGET = inRoot('dist', 'web');
const INPUTS = join(TARGET, 'inputs.json');

/** Whether the page is built and none of the files it was made from has changed. */
export function isWebCurrent() {
  return existsSync(join(TARGET, 'index.html')) && areInputsUnchanged(INPUTS);
}

/** Builds the workspace page: index.html, and assets whose names hold a hash of their content. */
export async function buildWeb() {
  const { build } = await import('vite');
  // The lock file stands for what modules are not: the style sheet of xterm.js, and Vite.
  const inputs = new Set(['scripts/setup/web-bundle.mjs', 'package-lock.json']);
  for (const name of readdirSync(SOURCE)) inputs.add(`web/${name}`);
  const { output } = await build({
    root: SOURCE,
    base: '/workspace/',
    configFile: false,
    envFile: false,
    publicDir: false,
    logLevel: 'error',
    resolve: { alias: { 'computesdk/client': inRoot('client', 'index.ts') } },
    plugins: [noteInputs(inputs)],
    build: {
      target: 'es2022',
      write: false,
      // The page's policy refuses inline styles and data: scripts: everything is a file.
      assetsInlineLimit: 0,
      modulePreload: false,
      reportCompressedSize: false,
      // What the licences of the bundled packages ask for.
      license: { fileName: 'licenses.md' },
    },
  });
  const files = new Map(output.map((file) => [file.fileName, file.code ?? file.source]));
  // The page last: whoever reads it finds what it names.
  for (const name of [...files.keys()].sort((a, b) => isPage(a) - isPage(b))) {
    replaceFile(join(TARGET, name), files.get(name));
  }
  for (const name of readdirSync(join(TARGET, 'assets'))) {
    if (!files.has(`assets/${name}`)) rmSync(join(TARGET, 'assets', name));
  }
  writeInputs(INPUTS, inputs);
  console.log(`built ${relative(root, TARGET)}/index.html`);
}

/** Collects the modules that the page is made from. */
function noteInputs(inputs) {
  return {
    name: 'note-inputs',
    buildEnd() {
      for (const id of this.getModuleIds()) {
        const path = id.split('?', 1)[0];
        if (existsSync(path)) inputs.add(relative(root, path));
      }
    },
  };
}

function isPage(name) {
  return name.endsWith('.html') ? 1 : 0;
}
