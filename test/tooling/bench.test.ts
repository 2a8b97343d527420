import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodePath } from '../support/paths.ts';
import { run } from './packed-app.ts';

const SUITES = [
  ...['echo', 'throughput', 'browser', 'flood', 'starts'],
  ...['calls', 'reconnect', 'terminals', 'growth', 'idle'],
];

type Results = {
  readonly machine: Record<string, string>;
  readonly figures: { suite: string; what: string; median: number; values: number[] }[];
};

test('every suite of the benchmark runs and gives figures', (context) => {
  const canInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
  if (!existsSync('/usr/sbin/sshd') && !canInstall) {
    const message = 'NOT TESTED: the benchmark compares with sshd, which is not installed';
    if (process.env['CI'] === 'true') throw new Error(message);
    context.skip(message);
  }
  const directory = mkdtempSync(join(tmpdir(), 'bench-results-'));
  const [json, markdown] = [join(directory, 'r.json'), join(directory, 'r.md')];
  const options = ['--quick', '--json', json, '--markdown', markdown];
  const printed = run(nodePath, ['bench/main.ts', ...options], process.cwd());
  expect(printed).toContain('| suite | what | median |');
  expect(printed.trim()).toBe(readFileSync(markdown, 'utf8').trim());
  const { machine, figures }: Results = JSON.parse(readFileSync(json, 'utf8'));
  expect(machine['node']).toBe('v24.21.0');
  expect([...new Set(figures.map(({ suite }) => suite))]).toEqual(SUITES);
  for (const { what, median, values } of figures) {
    expect(values.length, what).toBeGreaterThan(0);
    expect(median, what).not.toBeNaN();
  }
});

test('the benchmark says which suites there are', () => {
  const printed = run(nodePath, ['bench/main.ts', '--help'], process.cwd());
  for (const name of SUITES) expect(printed).toContain(name);
});
