import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { repositoryRoot } from './paths.ts';

const MODULES = join(repositoryRoot, 'node_modules');

/** Puts a small project for Vite, and Vite with all that it needs, into a sandbox's project directory. */
export function writeViteProject(directory: string): void {
  for (const folder of closureOf('vite')) {
    cpSync(folder, join(directory, 'node_modules', relative(MODULES, folder)), { recursive: true });
  }
  mkdirSync(join(directory, 'src'), { recursive: true });
  const files = {
    'package.json': '{"name":"app","type":"module"}',
    'index.html':
      '<!doctype html><title>app</title><h1></h1><script type="module" src="/src/main.js"></script>',
    // The box may write to its own files only.
    'vite.config.js': "export default { cacheDir: '/tmp/vite', clearScreen: false };",
    'src/main.js': [
      "import { text } from './text.js';",
      "const show = (text) => { document.querySelector('h1').textContent = text; };",
      'show(text);',
      'globalThis.loads = (globalThis.loads ?? 0) + 1;',
      "import.meta.hot?.accept('./text.js', (module) => show(module.text));",
    ].join('\n'),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  writeViteText(directory, 'first');
}

/** Changes what the page shows. */
export function writeViteText(directory: string, text: string): void {
  writeFileSync(join(directory, 'src', 'text.js'), `export const text = ${JSON.stringify(text)};`);
}

/** The folders of a package and of everything that it needs and that is installed. */
function closureOf(name: string): ReadonlySet<string> {
  const found = new Set<string>();
  const add = (wanted: string, from: string) => {
    const folder = folderOf(wanted, from);
    if (folder === undefined || found.has(folder)) return;
    found.add(folder);
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const needed = { ...manifest.dependencies, ...manifest.optionalDependencies };
    for (const other of Object.keys(needed)) add(other, folder);
  };
  add(name, repositoryRoot);
  return found;
}

function folderOf(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', name);
    if (existsSync(path)) return realpathSync(path);
    if (folder === dirname(folder)) return undefined;
  }
}
