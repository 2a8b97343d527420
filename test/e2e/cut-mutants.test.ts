import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Mutation, SourceCopy } from '../support/source-copy.ts';
import { TRANSPORTS } from '../support/transports.ts';

/** What of a report of Vitest is read here. */
type VitestResults = {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly title: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
};

const TEST = 'test/e2e/cuts.test.ts';
/** Enough that every kind of fault occurs dozens of times. */
const SMALL = {
  COMPUTESDK_SCALE: '0.04',
  COMPUTESDK_OUTPUT_BYTES: '8000000',
  COMPUTESDK_INPUTS: '3000',
};
const RUN_MS = 120_000;

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
      expect(await runCuts([])).toEqual(perTransport('passed'));
    },
    RUN_MS,
  );

  it(
    'fails over both transports when repeated input is applied again',
    async () => {
      expect(await runCuts(NO_DEDUPLICATION)).toEqual(
        perTransport('expect(result.received).toEqual(result.expectedInput);'),
      );
    },
    RUN_MS,
  );

  it(
    'fails over both transports when repeated output is delivered again',
    async () => {
      const outcomes = await runCuts(NO_OVERLAP_DROP);
      expect(outcomes).toHaveLength(TRANSPORTS.length);
      // Whichever of the two terminals it hit first.
      for (const outcome of outcomes) {
        expect(outcome).toMatch(/: expect\(result\.(output|echoed)\)\.toEqual\(result\.expected/);
      }
    },
    RUN_MS,
  );
});

function perTransport(outcome: string): readonly string[] {
  return TRANSPORTS.map((transport) => `${transport}: ${outcome}`);
}

/** Runs the test in a copy. Says of each transport that it passed, or which line failed. */
async function runCuts(mutations: readonly Mutation[]): Promise<readonly string[]> {
  using copy = new SourceCopy();
  for (const mutation of mutations) copy.mutate(mutation);
  await copy.buildAgent();
  const env = { ...SMALL, COMPUTESDK_REPORT: '' };
  const results = join(copy.root, 'results.json');
  const reporter = ['--reporter=json', `--outputFile=${results}`];
  const how = ['run', '--sequence.concurrent', ...reporter];
  const run = ['node_modules/vitest/vitest.mjs', ...how, TEST];
  const { output } = await copy.run(run, env);
  if (!existsSync(results)) throw new Error(`the test did not run:\n${output}`);
  const { testResults }: VitestResults = JSON.parse(readFileSync(results, 'utf8'));
  const lines = readFileSync(join(copy.root, TEST), 'utf8').split('\n');
  return testResults.flatMap(({ assertionResults }) =>
    assertionResults.map(({ title, status, failureMessages: [failure = ''] }) => {
      const line = /cuts\.test\.ts:(\d+):\d+/.exec(failure)?.[1];
      const outcome = line === undefined ? `${status} ${failure}`.trim() : lines[Number(line) - 1];
      return `${title.split(':', 1)[0]}: ${outcome?.trim()}`;
    }),
  );
}
