import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { command } from './lint.ts';

const LOST = 'call();\n';
const DELIBERATE = 'void call();\nawait call();\n';

test('a promise that nobody waits for is refused', () => {
  expect(check(LOST)).toContain('typescript(no-floating-promises)');
});

test('a deliberate one passes', () => {
  expect(check(DELIBERATE)).toContain('Found 0 warnings and 0 errors');
});

/** The verdict on a module that makes calls of a generated client in this way. */
function check(calls: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'promises-'));
  try {
    copyFileSync('.oxlintrc.json', join(directory, '.oxlintrc.json'));
    copyFileSync('tsconfig.json', join(directory, 'tsconfig.json'));
    symlinkSync(resolve('node_modules'), join(directory, 'node_modules'));
    const declared = 'declare const call: () => Promise<{ id: string }>;\nexport {};\n';
    writeFileSync(join(directory, 'calls.ts'), declared + calls);
    const { stdout } = spawnSync(command('oxlint'), ['--type-aware', 'calls.ts'], {
      cwd: directory,
      encoding: 'utf8',
    });
    return stdout;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
