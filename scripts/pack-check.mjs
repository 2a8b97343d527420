// Checks what the tarball would hold: nothing but what it must, exports that resolve, no `.ts` left.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inRoot, root } from './setup/paths.mjs';

const ALLOWED =
  /^(dist\/|proto\/computesdk\/.*\.proto$|package\.json$|README\.md$|LICENSE$|NOTICE$)/;
const REFUSED = /(\.test\.|(?<!\.d)\.ts$|inputs\.json$|\.tsbuildinfo$)/;
/** A path that only existed where the tarball was built. */
const IMPORT_OF_SOURCE = /(from|import\(|new URL\()\s*['"]\.[^'"]*\.ts['"]/;

const directory = mkdtempSync(join(tmpdir(), 'computesdk-pack-'));
try {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', directory];
  const [packed] = JSON.parse(output('npm', args));
  const tarball = join(directory, packed.filename);
  const problems = problemsOf(packed.files.map((file) => file.path));
  for (const problem of problems) console.error(`the tarball ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
  console.log(`the tarball: ${packed.files.length} files, ${Math.round(packed.size / 1024)} KiB`);
  run('publint', ['--strict', tarball]);
  run('attw', [tarball, '--profile', 'esm-only', '--exclude-entrypoints', './package.json']);
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function problemsOf(files) {
  const isOurs = (path) => ALLOWED.test(path) && !REFUSED.test(path);
  const isText = (path) => /\.(js|d\.ts)$/.test(path) && !path.startsWith('dist/agent/');
  const pointsToSource = (path) => IMPORT_OF_SOURCE.test(readFileSync(inRoot(path), 'utf8'));
  return [
    ...files.filter((path) => !isOurs(path)).map((path) => `holds ${path}`),
    ...files
      .filter(isText)
      .filter(pointsToSource)
      .map((path) => `has a .ts import in ${path}`),
    ...exportTargets()
      .filter((path) => !files.includes(path))
      .map((path) => `misses ${path}: run \`npm run build\``),
  ];
}

function exportTargets() {
  const { exports } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'));
  return Object.values(exports)
    .flatMap((entry) => (typeof entry === 'string' ? [entry] : Object.values(entry)))
    .map((path) => path.replace('./', ''));
}

function output(command, args) {
  const stdio = ['ignore', 'pipe', 'inherit'];
  return spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio }).stdout;
}

function run(command, args) {
  if (spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status !== 0) process.exitCode = 1;
}
