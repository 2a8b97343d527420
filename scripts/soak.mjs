// Runs the tests whose counts are scaled down in `npm test` with their full counts, and prints a
// table with the seeds that repeat them (COMPUTESDK_SEED). Arguments choose test files, as with
// `npm test --`. The table is also written to the file that COMPUTESDK_SOAK_TABLE names.

import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './setup/paths.mjs';

const chosen = process.argv.slice(2);
const files = chosen.length > 0 ? chosen : filesWithScaledCounts();
const directory = mkdtempSync(join(tmpdir(), 'computesdk-soak-'));
const reportFile = join(directory, 'report.jsonl');
const resultFile = join(directory, 'results.json');
const env = { ...process.env, COMPUTESDK_SOAK: '1', COMPUTESDK_REPORT: reportFile };
const reporters = [
  ...['--reporter=default', '--reporter=./test/tooling/counts-reporter.ts'],
  ...['--reporter=json', `--outputFile.json=${resultFile}`],
];
const run = spawnSync('vitest', ['run', ...reporters, ...files], {
  cwd: root,
  env,
  stdio: 'inherit',
});
const table = tableOf(read(reportFile), read(resultFile));
console.log(`\n${table}`);
if (process.env.COMPUTESDK_SOAK_TABLE) writeFileSync(process.env.COMPUTESDK_SOAK_TABLE, table);
rmSync(directory, { recursive: true });
process.exit(run.status ?? 1);

function filesWithScaledCounts() {
  const files = globSync('test/**/*.test.ts', { cwd: root });
  return files.filter((path) => /\b(scaled|report)\(/.test(readFileSync(join(root, path), 'utf8')));
}

function read(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** A Markdown table. The result is that of the row's test file. */
function tableOf(lines, results) {
  const files = JSON.parse(results || '{"testResults": []}').testResults;
  const statusOf = new Map(files.map(({ name, status }) => [name, status]));
  const rows = lines
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
    .map(({ test, count, seed, testPath, figures }) => {
      const shown = Object.entries(figures).map(([name, value]) => `${name} ${brief(value)}`);
      const result = statusOf.get(testPath) ?? 'unknown';
      return `| ${test} | ${count} | ${seed} | ${result} | ${shown.join(', ')} |`;
    });
  return ['| test | count | seed | result | figures |', '|---|---|---|---|---|', ...rows, ''].join(
    '\n',
  );
}

function brief(value) {
  return typeof value === 'number' && !Number.isInteger(value)
    ? Number(value.toPrecision(3))
    : value;
}
