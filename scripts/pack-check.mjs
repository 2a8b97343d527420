// Checks what the tarball would hold: nothing but what it must, exports that resolve, no `.ts` left.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { inRoot, root } from './setup/paths.mjs';

const ALLOWED =
  /^(dist\/|proto\/computesdk\/.*\.proto$|package\.json$|README\.md$|LICENSE$|NOTICE$)/;
const REFUSED = /(\.test\.|(?<!\.d)\.ts$|inputs\.json$|\.tsbuildinfo$)/;
/** A path that only existed where the tarball was built. */
const IMPORT_OF_SOURCE = /(from|import\(|new URL\()\s*['"]\.[^'"]*\.ts['"]/;

const packed = JSON.parse(output('npm', ['pack', '--dry-run', '--json', '--ignore-scripts']));
const files = packed[0].files.map((file) => file.path);
const problems = [
  ...files
    .filter((path) => !ALLOWED.test(path) || REFUSED.test(path))
    .map((path) => `holds ${path}`),
  ...files
    .filter((path) => /\.(js|d\.ts)$/.test(path) && pointsToSource(path))
    .map((path) => `${path} refers to a .ts file`),
  ...exportTargets()
    .filter((path) => !files.includes(path))
    .map((path) => `misses ${path}`),
];
for (const problem of problems) console.error(`the tarball ${problem}`);
const { size } = packed[0];
console.log(`the tarball: ${files.length} files, ${Math.round(size / 1024)} KiB`);
run('publint', ['--strict']);
run('attw', ['--pack', '.', '--profile', 'esm-only', '--exclude-entrypoints', './package.json']);
if (problems.length > 0) process.exitCode = 1;

function pointsToSource(path) {
  return (
    !path.startsWith('dist/agent/') && IMPORT_OF_SOURCE.test(readFileSync(inRoot(path), 'utf8'))
  );
}

function exportTargets() {
  const { exports } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'));
  const targets = Object.values(exports).flatMap((entry) =>
    Object.values(typeof entry === 'string' ? [entry] : entry),
  );
  return targets.map((path) => path.replace('./', ''));
}

function output(command, args) {
  return spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).stdout;
}

function run(command, args) {
  if (spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status !== 0) process.exitCode = 1;
}
