import { randomInt } from 'node:crypto';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/tooling/longest-first.ts';

/** Suites with real gateways, boxes, browsers or installs. */
const HEAVY = ['test/{chaos,driver,e2e,tooling}/**/*.test.ts', 'test/**/*.e2e.test.ts'];
/** Those of them that may share the machine: they measure no time that a busy machine would stretch, or wait mostly. */
const WIDE = [
  'test/client/**/*.e2e.test.ts',
  'test/server/driver/**/*.e2e.test.ts',
  'test/server/gateway/supervisor/*.e2e.test.ts',
  'test/web/{magic-link,start-link}.e2e.test.ts',
  'test/e2e/{bad-input,bad-requests,canaries,cut-creations,cut-mutants,fallback}.test.ts',
  'test/e2e/{forged-tokens,hostile-sandbox,input-streams,isolation,liveness,magic-links}.test.ts',
  'test/e2e/{magic-links-browser,malformed-requests,previews,protocols,quick-start}.test.ts',
  'test/e2e/{reader-leases,recorded-sandbox,redirects,signal-latency,signals,signals-shared-network}.test.ts',
  'test/e2e/{store-kills,watches-exhausted}.test.ts',
  'test/e2e/preview-*.test.ts',
  'test/tooling/{bench,layers,process-search,promises,proto-index,readme}.test.ts',
];

// One for all processes of a run, so that the end of its output can say it.
process.env['COMPUTESDK_SEED'] ??= String(randomInt(2 ** 31));

const isSoak = process.env['COMPUTESDK_SOAK'] === '1';
/** The soak runs ten times the counts. */
const patience = isSoak ? 10 : 1;

const shared = {
  pool: 'forks' as const,
  setupFiles: ['test/tooling/suite-leaks.ts'],
};

const heavy = { ...shared, testTimeout: 240_000 * patience, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    globalSetup: ['test/tooling/run-leaks.ts', 'test/tooling/gateway-bundle.ts'],
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './test/tooling/counts-reporter.ts'],
    projects: [
      {
        test: {
          ...shared,
          name: 'light',
          include: ['test/**/*.test.ts'],
          exclude: HEAVY,
          testTimeout: 60_000 * patience,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...heavy,
          name: 'wide',
          include: WIDE,
          // The soak has the bounds of an idle machine.
          maxWorkers: isSoak ? 1 : 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...heavy,
          name: 'alone',
          include: HEAVY,
          exclude: WIDE,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
