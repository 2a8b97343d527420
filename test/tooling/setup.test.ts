import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

/** A lock file as npm writes it: one package for everybody, one of an old engine, one of a platform. */
const WANTED = {
  '': { optionalDependencies: { modern: '1.0.0' } },
  'node_modules/common': { version: '2.0.0' },
  'node_modules/modern': { version: '1.0.0', optional: true, engines: { node: '>=22' } },
  'node_modules/elsewhere': { version: '1.0.0', optional: true, os: ['other'] },
};

let clone = '';

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), 'setup-'));
  cpSync('scripts', join(clone, 'scripts'), { recursive: true });
  mkdirSync(join(clone, 'node_modules', 'node', 'bin'), { recursive: true });
  writeFileSync(join(clone, 'node_modules', 'node', 'bin', 'node'), '');
  lock('package-lock.json', WANTED);
});

afterEach(() => {
  rmSync(clone, { recursive: true, force: true });
});

test('finds nothing wrong when only packages of other platforms are missing', () => {
  installed('node_modules/common', 'node_modules/modern');
  expect(problems()).toEqual([]);
});

test('finds a clone without dependencies', () => {
  expect(problems()).toEqual(['no dependencies are installed']);
});

test('finds the optional dependency that npm left out under an old Node.js', () => {
  installed('node_modules/common');
  expect(problems()).toEqual(['node_modules/modern is missing']);
});

test('finds it too when an installation that was complete is made anew', () => {
  installed('node_modules/common', 'node_modules/modern');
  expect(problems()).toEqual([]);
  installed('node_modules/common');
  expect(problems()).toEqual(['node_modules/modern is missing']);
});

test('finds a version that the lock file does not say', () => {
  installed('node_modules/common', 'node_modules/modern');
  const common = { version: '2.0.1' };
  lock('package-lock.json', { ...WANTED, 'node_modules/common': common });
  expect(problems()).toEqual(['node_modules/common is 2.0.0, not 2.0.1']);
});

test('finds a Node.js whose install script did not run', () => {
  installed('node_modules/common', 'node_modules/modern');
  rmSync(join(clone, 'node_modules', 'node'), { recursive: true });
  expect(problems()).toEqual(['the install script of the package `node` did not run']);
});

function installed(...paths: readonly (keyof typeof WANTED)[]): void {
  lock(
    'node_modules/.package-lock.json',
    Object.fromEntries(paths.map((path) => [path, WANTED[path]])),
  );
}

function lock(path: string, packages: unknown): void {
  writeFileSync(join(clone, path), JSON.stringify({ packages }));
}

function problems(): unknown {
  const module = join(clone, 'scripts', 'setup', 'dependencies.mjs');
  const program = `import { dependencyProblems } from ${JSON.stringify(module)};
    console.log(JSON.stringify(dependencyProblems()));`;
  const args = ['--input-type=module', '--eval', program];
  const { stdout, stderr } = spawnSync(resolve('node_modules', '.bin', 'node'), args, {
    encoding: 'utf8',
  });
  if (stderr) throw new Error(stderr);
  return JSON.parse(stdout);
}
