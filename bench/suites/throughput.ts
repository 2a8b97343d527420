import { type Line, runUntilReady, seen } from '../lines/line.ts';
import type { Stage } from '../stage.ts';

const CONTROL = 'ssh -tt';
const DONE = '~done~';
const MEGABYTE = 1_000_000;

type Job = {
  readonly what: string;
  /** Makes what is needed. */
  readonly before: string;
  readonly command: string;
  readonly isJudged?: boolean;
};

/** How many megabytes a second of a program's output arrive. */
export async function measureThroughput(stage: Stage): Promise<void> {
  const lines = await stage.lines();
  for (const job of jobs(stage.scale.megabytes * MEGABYTE)) await measure(stage, lines, job);
}

/** A file of text and the command that prints it. */
export function catOf(bytes: number): Job {
  const text = 'The quick brown fox jumps over the lazy dog, and 0123456789 is what it counts.';
  return {
    what: 'cat of a file',
    before: `[ -f text ] || { yes '${text}' | head -c ${bytes} > text; }`,
    command: 'cat text',
    isJudged: true,
  };
}

/** The same file, again and again: a program that prints as fast as it can. */
export function floodOf(bytes: number): Job {
  const { before, command } = catOf(bytes);
  return { what: 'flood', before, command: `while ${command}; do :; done` };
}

/** The command that waits for a line, prints, and says when that is done. */
export function printing({ before, command }: Job) {
  return {
    before: `stty -echo; ${before}`,
    main: `read -r line; ${command}; printf '~do'; printf 'ne~'; exec cat > /dev/null`,
  };
}

/** Megabytes a second of one run. */
async function rate(line: Line, job: Job): Promise<number> {
  const program = await runUntilReady(line, printing(job));
  try {
    const done = seen(program, DONE, line.name);
    const startedAt = performance.now();
    program.write('\n');
    const bytes = await done;
    return bytes / MEGABYTE / ((performance.now() - startedAt) / 1_000);
  } finally {
    await program.close();
  }
}

async function measure(stage: Stage, lines: readonly Line[], job: Job): Promise<void> {
  const results = lines.map(({ name }) => ({ name, values: [] as number[] }));
  for (const line of lines) await rate(line, job);
  for (let round = 0; round < stage.scale.repeats; round++) {
    for (const [index, line] of lines.entries()) {
      results[index]?.values.push(await rate(line, job));
    }
  }
  const control = results.find(({ name }) => name === CONTROL);
  for (const result of results) {
    const isJudged = job.isJudged && result.name === 'SDK, WebSocket';
    stage.figures.add({
      ...{ suite: 'throughput', what: `${job.what}: ${result.name}`, unit: 'MB/s' },
      values: result.values,
      ...(control && result !== control && { control }),
      ...(isJudged && { target: { of: 'ratio', bound: 'at least', limit: 0.65, chase: 0.9 } }),
    });
  }
}

function jobs(bytes: number): readonly Job[] {
  return [
    catOf(bytes),
    { what: 'seq', before: '', command: `seq 1 ${Math.round(bytes / 32)}` },
    {
      what: 'lines of 100,000 characters',
      before: `[ -f long ] || { head -c ${bytes} /dev/zero | tr '\\0' x | fold -w 100000 > long; }`,
      command: 'cat long',
    },
  ];
}
