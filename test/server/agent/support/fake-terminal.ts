import type { TerminalEvent } from '../../../../server/agent/terminal/events.ts';
import { TERMINAL_LIMITS, type TerminalLimits } from '../../../../server/agent/terminal/limits.ts';
import type { ReaderStream } from '../../../../server/agent/terminal/reader-stream.ts';
import type { AttachOptions } from '../../../../server/agent/terminal/reader-table.ts';
import { TerminalSession } from '../../../../server/agent/terminal/session.ts';
import type {
  ProcessExit,
  ProcessSink,
  TerminalProcess,
  TerminalSize,
} from '../../../../server/agent/terminal/terminal-process.ts';
import { BufferPool } from '../../../../server/core/buffer-pool.ts';
import { Quota } from '../../../../server/core/quota.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { ALICE } from './actors.ts';

/** The byte that {@link FakeProcess.print} writes at an offset of its output. */
const byteAt = (offset: number) => (offset * 31 + (offset >> 8)) & 255;

/** A program that does what the test says. */
class FakeProcess implements TerminalProcess {
  readonly pid = 2 ** 30;
  isPaused = false;
  sizes: TerminalSize[] = [];
  typed = '';
  /** Whether it takes input at once. */
  reads = true;
  printed = 0;
  readonly #sink: ProcessSink;
  #pending: { data: Uint8Array; resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(sink: ProcessSink) {
    this.#sink = sink;
  }

  get pendingInputBytes(): number {
    return this.#pending.reduce((sum, { data }) => sum + data.length, 0);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  write(data: Uint8Array): Promise<void> {
    if (!this.reads) {
      return new Promise((resolve, reject) => this.#pending.push({ data, resolve, reject }));
    }
    this.typed += Buffer.from(data).toString();
    return Promise.resolve();
  }

  resize(size: TerminalSize): void {
    this.sizes.push(size);
  }

  close(): void {
    this.exit({ signal: '' });
  }

  /** Reads one piece of waiting input. */
  read(): void {
    const input = this.#pending.shift();
    if (!input) return;
    this.typed += Buffer.from(input.data).toString();
    input.resolve();
    this.#sink.onInputRoom();
  }

  print(count: number): void {
    const data = Uint8Array.from({ length: count }, (_, index) => byteAt(this.printed + index));
    this.printed += count;
    this.#sink.onOutput(data);
  }

  /** Prints as a program does that blocks while it is paused. Returns how much it could. */
  flood(count: number, chunk = 4096): number {
    const before = this.printed;
    while (!this.isPaused && this.printed - before < count) this.print(chunk);
    return this.printed - before;
  }

  exit(exit: ProcessExit): void {
    for (const input of this.#pending.splice(0)) input.reject(new Error('exited'));
    this.#sink.onExit(exit);
  }
}

/** A terminal over a {@link FakeProcess} on a {@link FakeClock}. */
export function fakeTerminal(limits: Partial<TerminalLimits> = {}, size?: TerminalSize) {
  const clock = new FakeClock();
  const programs: FakeProcess[] = [];
  const streams = new Quota(limits.streams ?? TERMINAL_LIMITS.streams, 'streams of a sandbox');
  const session = new TerminalSession({
    facts: { id: 'trm1', name: '', incarnation: 'bot1', shell: '/bin/sh', cwd: '/', createdAt: 0 },
    clock,
    streams,
    buffers: new BufferPool({ bufferBytes: TERMINAL_LIMITS.messageBytes, idle: 1 }),
    limits: { ...TERMINAL_LIMITS, ...limits },
    ...(size && { size }),
    start: (sink) => {
      const program = new FakeProcess(sink);
      programs.push(program);
      return program;
    },
    onActivity: () => {},
    onExit: () => {},
  });
  const [program] = programs;
  if (!program) throw new Error('the session started nothing');
  const attach = (options: Partial<AttachOptions> = {}) =>
    new Viewer(
      session.attach({
        ...{ actor: ALICE, readerId: '', incarnation: '', acknowledges: false, writerId: '' },
        disconnect: () => {},
        ...options,
      }),
    );
  return { clock, session, program, streams, attach };
}

/** A connection that takes one event when it is told to. */
export class Viewer {
  readonly stream: ReaderStream;
  readonly #events: AsyncGenerator<TerminalEvent, void, undefined>;
  /** Position after the last output it took. */
  cursor = 0;
  readerId = '';
  gaps: Extract<TerminalEvent, { type: 'gap' }>[] = [];

  constructor(stream: ReaderStream) {
    this.stream = stream;
    this.#events = stream.events();
  }

  /** The next event, or undefined at the end. The one before counts as taken by the connection. */
  async next(): Promise<TerminalEvent | undefined> {
    const { value } = await this.#events.next();
    const event = value ?? undefined;
    if (event?.type === 'ready') {
      this.readerId = event.readerId;
      this.cursor = event.cursor;
    }
    if (event?.type === 'gap') {
      this.gaps.push(event);
      this.cursor = event.to;
    }
    if (event?.type === 'output') this.#check(event);
    return event;
  }

  /** Takes events until it has all output before `cursor`. */
  async readTo(cursor: number): Promise<void> {
    while (this.cursor < cursor)
      if (!(await this.next())) throw new Error('the stream ended early');
  }

  #check(event: Extract<TerminalEvent, { type: 'output' }>): void {
    if (event.cursor !== this.cursor)
      throw new Error(`output at ${event.cursor}, not ${this.cursor}`);
    for (const [index, byte] of event.data.entries()) {
      if (byte !== byteAt(event.cursor + index))
        throw new Error(`wrong byte at ${event.cursor + index}`);
    }
    this.cursor += event.data.length;
  }
}
