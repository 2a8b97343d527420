import { writeSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** What a run comes to. */
export type Counts = {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
};

/** The line that ends the output, for people and for CI. */
export function closingLine(counts: Counts): string {
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  return `${counts.passed} passed, ${counts.failed} failed${skipped}`;
}

/**
 * Ends the output with the counts, after the seed of a run that failed, and lets nothing be skipped silently: every skipped test is
 * named, and fails the run when `CI` is set.
 */
// biome-ignore lint/style/noDefaultExport: vitest loads a reporter by its default export.
export default class CountsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const skipped = tests.filter((test) => test.result().state === 'skipped');
    const broken = modules.filter((module) => brokenOutsideTests(module)).length + errors.length;
    for (const test of skipped) report(test);
    if (skipped.length > 0 && process.env['CI'] === 'true') process.exitCode = 1;
    const counts = {
      passed: tests.filter((test) => test.result().state === 'passed').length,
      failed: tests.filter((test) => test.result().state === 'failed').length + broken,
      skipped: skipped.length,
    };
    // At the very end, after the summary and after the search for what was left behind.
    process.once('exit', () => {
      const isOnlyRunBad = process.exitCode !== 0 && process.exitCode !== undefined;
      const failed = counts.failed === 0 && isOnlyRunBad ? 1 : counts.failed;
      const seed = process.env['COMPUTESDK_SEED'];
      if (failed > 0) writeSync(1, `COMPUTESDK_SEED=${seed} repeats what these tests drew.\n`);
      writeSync(1, `${closingLine({ ...counts, failed })}\n`);
    });
  }
}

function report(test: TestCase): void {
  const { note } = test.result() as { note?: string };
  const reason = note ? `: ${note}` : '';
  writeSync(1, `SKIPPED ${test.module.relativeModuleId} > ${test.fullName}${reason}\n`);
}

function brokenOutsideTests(module: TestModule): boolean {
  return (
    module.errors().length > 0 ||
    [...module.children.allSuites()].some((s) => s.errors().length > 0)
  );
}
