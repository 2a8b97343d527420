import { defineConfig } from 'vitest/config';

/** Suites with real gateways, boxes, browsers or installs: one at a time, since they measure time. */
const HEAVY = ['test/{chaos,driver,e2e,tooling}/**/*.test.ts', 'test/**/*.e2e.test.ts'];

/** The soak runs ten times the counts. */
const patience = process.env['COMPUTESDK_SOAK'] === '1' ? 10 : 1;

const shared = {
  pool: 'forks' as const,
  setupFiles: ['test/tooling/suite-leaks.ts'],
};

export default defineConfig({
  test: {
    globalSetup: ['test/tooling/run-leaks.ts'],
    reporters: ['default', './test/tooling/counts-reporter.ts'],
    projects: [
      {
        test: {
          ...shared,
          name: 'light',
          include: ['test/**/*.test.ts'],
          exclude: HEAVY,
          testTimeout: 20_000 * patience,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'heavy',
          include: HEAVY,
          testTimeout: 120_000 * patience,
          hookTimeout: 60_000,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
