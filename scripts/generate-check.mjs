// Fails when gen/ is not what buf makes of proto/.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './setup/paths.mjs';

const fresh = mkdtempSync(join(tmpdir(), 'computesdk-gen-'));
try {
  run('buf', ['generate', '--output', fresh]);
  run('diff', ['-r', join(fresh, 'gen'), 'gen']);
} finally {
  rmSync(fresh, { recursive: true, force: true });
}

function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (result.status === 0) return;
  console.error('gen/ is not current: run `npm run generate` and commit the result');
  process.exitCode = 1;
}
