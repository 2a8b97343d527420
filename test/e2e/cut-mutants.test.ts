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
/** Less traffic, but enough faults that those that matter here occur dozens of times. */
const SMALL = {
  COMPUTESDK_SCALE: '0.06',
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

// That it passes in an unchanged copy needs no run: a mutant has to fail where its data are compared.
describe('the test of cuts', () => {
  it(
    'fails over both transports when repeated input is applied again',
    async () => {
      const line = 'expect(result.received).toEqual(result.expectedInput);';
      expect(await runCuts(NO_DEDUPLICATION)).toEqual(
        TRANSPORTS.map((transport) => `${transport}: ${line}`),
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

/** Runs the test in a copy. Says of each transport which line failed, or that it passed. */
async function runCuts(mutations: readonly Mutation[]): Promise<readonly string[]> {
  using copy = new SourceCopy();
  for (const mutation of mutations) copy.mutate(mutation);
  await copy.buildAgent();
  const env = { ...SMALL, COMPUTESDK_REPORT: '' };
  const results = join(copy.root, 'results.json');
  const reporter = ['--reporter=json', `--outputFile=${results}`];
  const run = ['node_modules/vitest/vitest.mjs', 'run', ...reporter, TEST];
  const { output } = await copy.run(run, env);
  if (!existsSync(results)) throw new Error(`the test did not run:\n${output}`);
  const { testResults }: VitestResults = JSON.parse(readFileSync(results, 'utf8'));
  const lines = readFileSync(join(copy.root, TEST), 'utf8').split('\n');
  return testResults.flatMap(({ assertionResults }) =>
    assertionResults.map(({ title, status, failureMessages }) => {
      const failures = failureMessages.join('\n');
      const places = [...failures.matchAll(/cuts\.test\.ts:(\d+):\d+/g)];
      // A failure to clean up as well comes in an error of its own, whose place is none of the text.
      const line = places.map(([, place]) => lines[Number(place) - 1]).find(Boolean);
      return `${title.split(':', 1)[0]}: ${line?.trim() ?? `${status} ${failures}`}`;
    }),
  );
}
