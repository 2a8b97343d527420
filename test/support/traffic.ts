import { createHash } from 'node:crypto';
import type { Sandbox, Terminal, TerminalGap } from '../../client/index.ts';
import { KnownOutput } from './known-output.ts';
import { type SeededRandom, seededRandom } from './scale.ts';
import { until, within } from './until.ts';

export type TrafficOptions = {
  readonly seed: number;
  /** How much an unthrottled program prints. */
  readonly outputBytes: number;
  /** How many inputs are typed into an echo in raw mode. */
  readonly inputs: number;
  readonly withinMs: number;
};

/** Both directions, as they should be and as they were. */
export type TrafficResult = {
  readonly output: Digest;
  readonly expectedOutput: Digest;
  /** What the program in the box read. */
  readonly received: Digest;
  /** What came back of it. */
  readonly echoed: Digest;
  readonly expectedInput: Digest;
  readonly gaps: readonly TerminalGap[];
  readonly errors: readonly string[];
};

export type Digest = { readonly bytes: number; readonly sha256: string };

/** Inputs whose promises are awaited together at the latest. Well above the 16 that are to be in flight. */
const MOST_UNAWAITED = 48;
const MAX_INPUT_BYTES = 64;
const READY = 'ready\n';

/** Prints known output in one terminal and types numbered, seeded inputs into another, both at once. */
export async function runTraffic(
  sandbox: Sandbox,
  options: TrafficOptions,
): Promise<TrafficResult> {
  const notes: Notes = { gaps: [], errors: [], printed: 0, written: 0, echoed: 0 };
  const [output, input] = await within(
    Promise.all([runOutput(sandbox, options, notes), runInput(sandbox, options, notes)]),
    {
      get what() {
        return `the traffic to end, which got to ${JSON.stringify(notes)}`;
      },
      withinMs: options.withinMs,
    },
  );
  return { ...output, ...input, gaps: notes.gaps, errors: notes.errors };
}

/** Runs a script on pipes in the box and returns what it printed. */
export async function runInBox(sandbox: Sandbox, script: string): Promise<string> {
  const terminal = await sandbox.terminal.create({
    pty: false,
    shell: '/bin/sh',
    args: ['-c', script],
  });
  const reader = new Reader(terminal);
  await within(reader.exited, { what: `the end of: ${script}`, withinMs: 60_000 });
  await terminal.destroy();
  return reader.text;
}

type Notes = {
  readonly gaps: TerminalGap[];
  readonly errors: string[];
  /** How many bytes of output came, how many inputs were written, and how many bytes of them came back. */
  printed: number;
  written: number;
  echoed: number;
};

async function runOutput(sandbox: Sandbox, { seed, outputBytes }: TrafficOptions, notes: Notes) {
  const known = new KnownOutput(seed);
  const args = known.program(outputBytes);
  const terminal = await sandbox.terminal.create({ pty: true, shell: '/bin/sh', args });
  watch(terminal, notes);
  const hash = createHash('sha256');
  let bytes = 0;
  await new Promise<void>((resolve) => {
    terminal.on('data', (data) => {
      hash.update(data);
      bytes += data.length;
      notes.printed = bytes;
    });
    terminal.on('exit', () => resolve());
  });
  return {
    output: { bytes, sha256: hash.digest('hex') },
    expectedOutput: { bytes: outputBytes, sha256: known.sha256(outputBytes) },
  };
}

async function runInput(sandbox: Sandbox, options: TrafficOptions, notes: Notes) {
  const script = `stty raw -echo; echo ${READY.trim()}; exec tee /project/received`;
  const terminal = await sandbox.terminal.create({
    pty: true,
    shell: '/bin/sh',
    args: ['-c', script],
  });
  watch(terminal, notes);
  const reader = new Reader(terminal);
  await until(() => reader.text === READY, { what: 'the echo to be ready' });
  const random = seededRandom(options.seed + 1);
  const typed: Buffer[] = [];
  const pending = new Set<Promise<void>>();
  for (let index = 0; index < options.inputs; index++) {
    const data = inputOf(index, random);
    typed.push(data);
    const write = terminal.write(data).finally(() => {
      pending.delete(write);
      notes.written++;
      notes.echoed = reader.bytes;
    });
    write.catch(() => undefined);
    pending.add(write);
    if (pending.size >= MOST_UNAWAITED) await Promise.race(pending);
  }
  await Promise.all(pending);
  const expected = Buffer.concat(typed);
  const expectedBytes = expected.length + READY.length;
  await until(() => reader.bytes >= expectedBytes, {
    what: `the echo of ${expectedBytes} bytes`,
    withinMs: 60_000,
  });
  await terminal.destroy();
  const [sha256 = '', size = ''] = (
    await runInBox(sandbox, 'sha256sum < /project/received; stat -c %s /project/received')
  ).split(/\s+-\s+/);
  return {
    received: { bytes: Number(size), sha256 },
    echoed: digest(reader.all.subarray(READY.length)),
    expectedInput: digest(expected),
  };
}

/** A number, so that a repeated or misplaced input shows, and bytes of any value. */
function inputOf(index: number, random: SeededRandom): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(index);
  return Buffer.concat([number, random.bytes(1 + random.below(MAX_INPUT_BYTES))]);
}

function watch(terminal: Terminal, notes: Notes): void {
  terminal.on('gap', (gap) => notes.gaps.push(gap));
  terminal.on('error', (error) => notes.errors.push(`${error.code}: ${error.message}`));
}

function digest(data: Uint8Array): Digest {
  return { bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') };
}

/** Keeps all output of a terminal. */
export class Reader {
  bytes = 0;
  readonly exited: Promise<void>;
  readonly #chunks: Uint8Array[] = [];

  constructor(terminal: Terminal) {
    terminal.on('data', (data) => {
      this.bytes += data.length;
      this.#chunks.push(data);
    });
    this.exited = new Promise((resolve) => {
      terminal.on('exit', () => resolve());
    });
  }

  get all(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.all.toString();
  }
}
