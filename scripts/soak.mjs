// Runs the tests whose counts are scaled down in `npm test` with their full counts, and prints a
// table with the seeds that repeat them. Arguments choose test files, as with `npm test --`.

import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './setup/paths.mjs';

const chosen = process.argv.slice(2);
const files = chosen.length > 0 ? chosen : filesWithScaledCounts();
const directory = mkdtempSync(join(tmpdir(), 'computesdk-soak-'));
const reportFile = join(directory, 'report.jsonl');
const env = { ...process.env, COMPUTESDK_SOAK: '1', COMPUTESDK_REPORT: reportFile };
const run = spawnSync('vitest', ['run', ...files], { cwd: root, env, stdio: 'inherit' });
printTable(existsSync(reportFile) ? readFileSync(reportFile, 'utf8') : '');
rmSync(directory, { recursive: true });
process.exit(run.status ?? 1);

function filesWithScaledCounts() {
  const files = globSync('test/**/*.test.ts', { cwd: root });
  return files.filter((path) => /\b(scaled|report)\(/.test(readFileSync(join(root, path), 'utf8')));
}

function printTable(lines) {
  const rows = lines
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  console.log('\n| test | count | seed | figures |\n|---|---|---|---|');
  for (const { test, count, seed, figures } of rows) {
    const shown = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
    console.log(`| ${test} | ${count} | ${seed} | ${shown.join(', ')} |`);
  }
}
