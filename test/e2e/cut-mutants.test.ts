import { describe, expect, it } from 'vitest';
import { type Mutation, type RunResult, SourceCopy } from '../support/source-copy.ts';

const TEST = 'test/e2e/cuts.test.ts';
/** Enough that every kind of fault occurs dozens of times. */
const SMALL = {
  COMPUTESDK_SCALE: '0.04',
  COMPUTESDK_OUTPUT_BYTES: '8000000',
  COMPUTESDK_INPUTS: '3000',
};
const RUN_MS = 90_000;

/** Input that is repeated is typed again. */
const NO_DEDUPLICATION: Mutation[] = [
  {
    file: 'server/agent/terminal/writer-table.ts',
    from: 'if (earlier !== undefined || sequence < writer.next) {',
    to: 'if (sequence < writer.next) { await this.#target.write(data); return { duplicate: true }; }\n    if (earlier !== undefined) {',
  },
];
/** Output that is repeated is delivered again. */
const NO_OVERLAP_DROP: Mutation[] = [
  { file: 'client/connection/resumable-stream.ts', from: 'if (isKnown) return;', to: '' },
  {
    file: 'client/connection/resumable-stream.ts',
    from: 'event.from < cursor ? this.#source.trim(event.value, cursor) : event.value',
    to: 'event.value',
  },
];

describe('the test of cuts', () => {
  it(
    'passes in an unchanged copy, so that what follows is due to the mutation',
    async () => {
      const { status, output } = await runCuts([]);
      expect(status, output).toBe(0);
    },
    RUN_MS,
  );

  it(
    'fails when repeated input is applied again',
    async () => {
      const { status, output } = await runCuts(NO_DEDUPLICATION);
      expect(status).toBe(1);
      expect(output).toContain('expect(result.received).toEqual(result.expectedInput)');
    },
    RUN_MS,
  );

  it(
    'fails when repeated output is delivered again',
    async () => {
      const { status, output } = await runCuts(NO_OVERLAP_DROP);
      expect(status).toBe(1);
      expect(output).toContain('expect(result.output).toEqual(result.expectedOutput)');
    },
    RUN_MS,
  );
});

/** Runs the test in a copy. The output of a failure is cut down to the line that failed. */
async function runCuts(mutations: readonly Mutation[]): Promise<RunResult> {
  using copy = new SourceCopy();
  for (const mutation of mutations) copy.mutate(mutation);
  await copy.buildAgent();
  const env = { ...SMALL, NO_COLOR: '1', FORCE_COLOR: '0', COMPUTESDK_REPORT: '' };
  const result = await copy.run(['node_modules/vitest/vitest.mjs', 'run', TEST], env);
  const failed = /^\s*❯ .*cuts\.test\.ts:(\d+):\d+$/m.exec(result.output);
  const line = failed && new RegExp(`^\\s*${failed[1]}\\|(.*)$`, 'm').exec(result.output);
  return { ...result, output: line?.[1] ?? result.output };
}
