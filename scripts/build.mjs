// Builds what the tarball holds: JavaScript, declarations and maps in dist/, and the agent's bundle.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { buildAgent } from './setup/agent-bundle.mjs';
import { inRoot, root } from './setup/paths.mjs';
import { buildWeb } from './setup/web-bundle.mjs';

/** What tsc writes. The agent's bundle beside it stays, because running gateways start it. */
const COMPILED = ['client', 'frames', 'gen', 'proto', 'server'];
/** Node.js resolves these at run time, where no compiler sees them: `new URL('./worker.ts', import.meta.url)`. */
const URL_OF_SOURCE = /(new URL\(\s*['"]\.[^'"]*)\.ts(['"],\s*import\.meta\.url)/g;
/** tsc rewrites `.ts` in JavaScript only; a declaration that imports `.ts` resolves to nothing. */
const IMPORT_OF_SOURCE = /((?:from|import\()\s*['"]\.{1,2}\/[^'"]*)\.ts(['"])/g;

for (const folder of COMPILED) rmSync(inRoot('dist', folder), { recursive: true, force: true });
const tsc = spawnSync('tsc', ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (tsc.status !== 0) process.exit(1);
for (const folder of COMPILED) finish(inRoot('dist', folder));
await buildAgent();
await buildWeb();

function finish(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.name.endsWith('.d.ts')) rewrite(path, IMPORT_OF_SOURCE, () => {});
    else if (entry.name.endsWith('.js')) rewrite(path, URL_OF_SOURCE, requireTarget);
  }
}

function rewrite(path, pattern, check) {
  const before = readFileSync(path, 'utf8');
  const after = before.replace(pattern, (_match, start, end) => {
    check(path, `${start.replace(/^[^'"]*['"]/, '')}.js`);
    return `${start}.js${end}`;
  });
  if (after !== before) writeFileSync(path, after);
}

function requireTarget(path, specifier) {
  if (existsSync(resolve(dirname(path), specifier))) return;
  console.error(`build failed: ${path} refers to ${specifier}, which does not exist`);
  process.exit(1);
}
