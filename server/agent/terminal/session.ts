import type { BufferPool } from '../../core/buffer-pool.ts';
import { ByteLog } from '../../core/byte-log.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import { deferred } from '../../core/deferred.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import type { Quota } from '../../core/quota.ts';
import { SharedBuffers } from '../../core/shared-buffers.ts';
import type { TerminalLimits } from './limits.ts';
import { OutputBatcher } from './output-batcher.ts';
import { endFamily, sendSignal } from './process-family.ts';
import { foregroundGroup } from './process-table.ts';
import type { ReaderStream } from './reader-stream.ts';
import { type AttachOptions, ReaderTable } from './reader-table.ts';
import { parseSignal } from './signals.ts';
import type {
  ProcessExit,
  ProcessSink,
  TerminalProcess,
  TerminalSize,
} from './terminal-process.ts';
import { WriterTable } from './writer-table.ts';

/** Largest width and height, in characters. */
const MAX_SIZE = 4096;

/** What does not change about a terminal. */
export type TerminalFacts = {
  readonly id: string;
  readonly name: string;
  readonly incarnation: string;
  /** As the API spells it. */
  readonly shell: string;
  /** As the API spells it. */
  readonly cwd: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
};

/** A terminal as it is now. */
export type TerminalState = TerminalFacts & {
  /** Absent without a pseudo terminal. */
  readonly size?: TerminalSize;
  /** Absent while the program runs. */
  readonly exit?: ProcessExit;
  /** The end of its output. */
  readonly cursor: number;
};

export type TerminalSessionOptions = {
  readonly facts: TerminalFacts;
  /** Absent without a pseudo terminal. */
  readonly size?: TerminalSize;
  readonly clock: Clock;
  readonly limits: TerminalLimits;
  readonly streams: Quota;
  /** Of the whole sandbox, each of at least `messageBytes`. */
  readonly buffers: BufferPool;
  readonly start: (sink: ProcessSink) => TerminalProcess;
  /** Called at each piece of input and output. */
  readonly onActivity: () => void;
  /** Called once, when the program has ended. */
  readonly onExit: () => void;
};

/** A program with its output, its readers and its writers. It outlives them all. */
export class TerminalSession {
  readonly facts: TerminalFacts;
  readonly readers: ReaderTable;
  readonly writers: WriterTable;
  readonly #clock: Clock;
  readonly #limits: TerminalLimits;
  readonly #log: ByteLog<TerminalSize>;
  readonly #batcher: OutputBatcher;
  readonly #process: TerminalProcess;
  readonly #onActivity: () => void;
  readonly #onExit: () => void;
  readonly #exited = deferred<void>();
  #size: TerminalSize | undefined;
  #resizedAt = Number.NEGATIVE_INFINITY;
  #pendingSize: TerminalSize | undefined;
  #resizeTimer: Timer | undefined;
  #trimTimer: Timer | undefined;
  #exit: ProcessExit | undefined;
  #isPaused = false;
  /** Output that is kept when nobody has to read the rest, once the program has exited. */
  #keptBytes: number;
  #ending: Promise<boolean> | undefined;

  /** Starts the program. Throws SPAWN_FAILED. */
  constructor(options: TerminalSessionOptions) {
    const { clock, limits, facts, streams, buffers } = options;
    this.facts = facts;
    this.#clock = clock;
    this.#limits = limits;
    this.#onActivity = options.onActivity;
    this.#onExit = options.onExit;
    this.#keptBytes = limits.exitedLogBytes;
    this.#log = new ByteLog(limits.logBytes);
    this.#size = options.size;
    if (options.size) this.#log.mark(options.size);
    this.readers = new ReaderTable({
      ...{ clock, limits, streams, incarnation: facts.incarnation },
      source: {
        log: this.#log,
        buffers: new SharedBuffers(buffers),
        exit: () => this.#exit,
      },
      onMoved: () => this.#onReadersMoved(),
    });
    this.#batcher = new OutputBatcher(clock, () => this.readers.wake());
    this.#process = options.start({
      onOutput: (data) => this.#onOutput(data),
      onInputRoom: () => this.writers.onRoom(),
      onExit: (exit) => this.#onProcessExit(exit),
    });
    this.writers = new WriterTable({ clock, limits, target: this.#inputTarget() });
  }

  /** The terminal as it is now. */
  get state(): TerminalState {
    return {
      ...this.facts,
      ...(this.#size && { size: this.#pendingSize ?? this.#size }),
      ...(this.#exit && { exit: this.#exit }),
      cursor: this.#log.end,
    };
  }

  /** Whether the program runs. */
  get isLive(): boolean {
    return this.#exit === undefined;
  }

  /** Process id of the program. */
  get pid(): number {
    return this.#process.pid;
  }

  /** Attaches a reader. Its stream keeps its writer connected. */
  attach(options: AttachOptions): ReaderStream {
    const disconnectWriter = this.writers.connect(options.writerId);
    const onClosed = () => {
      disconnectWriter();
      options.onClosed?.();
    };
    try {
      return this.readers.attach({ ...options, onClosed });
    } catch (error) {
      disconnectWriter();
      throw error;
    }
  }

  /** Changes the size. Many changes in a moment become few; the last one holds. */
  resize(size: TerminalSize): void {
    checkSize(size);
    if (!this.#size)
      throw new DomainError(
        'FAILED_PRECONDITION',
        'the terminal has no pseudo terminal, hence no size',
      );
    this.#requireLive();
    this.#pendingSize = size;
    const wait = this.#resizedAt + this.#limits.resizeIntervalMs - this.#clock.monotonic();
    if (wait <= 0) this.#applySize();
    else this.#resizeTimer ??= this.#clock.setTimer(() => this.#applySize(), wait);
  }

  /** Sends a signal to the foreground process group. */
  signal(name: string): void {
    const signal = parseSignal(name);
    this.#requireLive();
    const { pid } = this.#process;
    const group = this.#size ? foregroundGroup(pid) : pid;
    // A program that was started this very moment leads no group yet.
    if (!sendSignal(-group, signal) && !sendSignal(pid, signal)) {
      throw new DomainError('FAILED_PRECONDITION', `no process of the terminal took ${signal}`);
    }
  }

  /**
   * Ends every process of the terminal, also of one that has exited, then its streams. Resolves
   * with whether none is left. Idempotent.
   */
  destroy(): Promise<boolean> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  /** Gives memory back when the terminal is forgotten. Streams that are attached still reach its end. */
  dispose(): void {
    this.#trimTimer?.clear();
    this.#trimTimer = undefined;
    this.#keptBytes = 0;
    this.readers.forgetAbsent();
    this.#trimWhenRead();
  }

  async #end(): Promise<boolean> {
    const leaders = this.isLive ? [this.#process.pid] : [];
    const ended = await endFamily({ leaders, mark: this.facts.id }, this.#clock);
    if (!ended) this.#process.close();
    await this.#exited.promise;
    return ended;
  }

  #onOutput(data: Uint8Array): void {
    const log = this.#log;
    // Who reads how far matters only where something would be evicted.
    const isFull = log.end + data.length - log.start > log.capacity;
    log.append(data, isFull ? this.readers.holdFrom : Number.POSITIVE_INFINITY);
    this.#batcher.add(data.length);
    this.#onActivity();
    if (isFull && log.end - log.start >= log.capacity && this.#isHeld(log.capacity)) {
      this.#isPaused = true;
      this.#process.pause();
    }
  }

  #onReadersMoved(): void {
    if (this.#exit) {
      this.#trimWhenRead();
      return;
    }
    if (!this.#isPaused) return;
    this.#log.evict(this.readers.holdFrom);
    // Not at the first free byte, or a slow reader makes the program stop and go at every message.
    if (this.#isHeld(this.#log.capacity - this.#limits.messageBytes)) return;
    this.#isPaused = false;
    this.#process.resume();
  }

  /** Whether a reader that is waited for has that many bytes of output before it. */
  #isHeld(bytes: number): boolean {
    return this.#log.end - this.readers.holdFrom >= bytes;
  }

  #onProcessExit(exit: ProcessExit): void {
    this.#exit = exit;
    this.#resizeTimer?.clear();
    this.writers.close();
    this.#batcher.flush();
    this.#trimTimer = this.#clock.setTimer(() => {
      this.#trimTimer = undefined;
      this.#trimWhenRead();
    }, this.#limits.exitedTrimMs);
    this.#onExit();
    this.#exited.resolve();
  }

  #trimWhenRead(): void {
    const log = this.#log;
    if (this.#trimTimer || log.end - log.start <= this.#keptBytes) return;
    if (!this.readers.isAnyBefore(log.end - this.#keptBytes)) log.trim(this.#keptBytes);
  }

  #applySize(): void {
    this.#resizeTimer?.clear();
    this.#resizeTimer = undefined;
    const size = this.#pendingSize;
    this.#pendingSize = undefined;
    if (!size || this.#exit || (size.cols === this.#size?.cols && size.rows === this.#size.rows))
      return;
    this.#resizedAt = this.#clock.monotonic();
    this.#size = size;
    this.#process.resize(size);
    this.#log.mark(size);
    this.readers.wake();
  }

  #inputTarget() {
    const program = this.#process;
    return {
      get pendingInputBytes() {
        return program.pendingInputBytes;
      },
      write: (data: Uint8Array) => {
        // Who resized and then types expects the program to know.
        this.#applySize();
        this.#batcher.onInput();
        this.#onActivity();
        return program.write(data);
      },
    };
  }

  #requireLive(): void {
    if (this.#exit) throw new DomainError('EXITED', 'the program of the terminal has exited');
  }
}

/** Throws INVALID_ARGUMENT for a size that no terminal can have. */
export function checkSize(size: TerminalSize): void {
  for (const field of ['cols', 'rows'] as const) {
    const value = size[field];
    if (!Number.isInteger(value) || value < 1 || value > MAX_SIZE) {
      throw invalidArgument(field, `must be 1 to ${MAX_SIZE}`);
    }
  }
}
