import type { ByteLog, LogItem, LogPosition } from '../../core/byte-log.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { QuietTime } from '../../core/quiet-time.ts';
import type { SharedBuffers } from '../../core/shared-buffers.ts';
import type { TerminalEvent } from './events.ts';
import type { TerminalLimits } from './limits.ts';
import type { Reader } from './reader.ts';
import type { ProcessExit, TerminalSize } from './terminal-process.ts';

/** What a stream reads. */
export interface ReaderSource {
  readonly log: ByteLog<TerminalSize>;
  /** What the log's bytes are handed on in, each for at least `messageBytes`. */
  readonly buffers: SharedBuffers;
  /** How the program ended; all its output is in the log then. */
  exit(): ProcessExit | undefined;
}

export type ReaderStreamOptions = {
  readonly reader: Reader;
  readonly source: ReaderSource;
  readonly clock: Clock;
  readonly limits: TerminalLimits;
  readonly cursor: number;
  readonly acknowledges: boolean;
  readonly writerId: string;
  /** Names the life of the log. */
  readonly incarnation: string;
  /** The cursor that belongs to another incarnation, if the reader came with one. */
  readonly foreignCursor?: number;
  /** Called when the reader's cursor moved. */
  readonly onMoved: () => void;
  /** Called once at the end. */
  readonly onClosed: () => void;
  /** Cuts the connection, which is the only way to end it while it takes nothing. */
  readonly disconnect: () => void;
};

/**
 * One connection's reading of a terminal. It holds a position, never bytes: a slow connection costs
 * no memory. Replay and live output are the same read.
 */
export class ReaderStream {
  readonly #options: ReaderStreamOptions;
  readonly #position: LogPosition;
  readonly #preamble: TerminalEvent[];
  /**
   * Where the window of an acknowledging reader begins: at what it acknowledged, or later by what gaps
   * skipped since, as that was never sent. Only grows.
   */
  #windowStart: number;
  /** Since when an event is being handed to the connection. */
  #handingSince: number | undefined;
  /** Since when nothing may be sent before an acknowledgement. */
  #windowFullSince: number | undefined;
  /** Where the output begins that is being handed to the connection, in a borrowed buffer. */
  #borrowedAt: number | undefined;
  readonly #quiet: QuietTime;
  #stallTimer: Timer;
  #closed = false;
  #error: DomainError | undefined;

  constructor(options: ReaderStreamOptions) {
    const { reader, source, cursor, writerId, foreignCursor } = options;
    this.#options = options;
    this.#position = source.log.positionAt(cursor);
    this.#windowStart = cursor;
    this.#quiet = new QuietTime(options.clock, options.limits.keepAliveMs);
    const ready = {
      type: 'ready',
      cursor,
      replayUntil: source.log.end,
      incarnation: options.incarnation,
      readerId: reader.id,
      writerId,
    } as const;
    this.#preamble = [ready];
    if (foreignCursor !== undefined) {
      this.#preamble.push({ type: 'gap', from: foreignCursor, to: cursor, reason: 'INCARNATION' });
    }
    const gap = this.#skipGap();
    if (gap) this.#preamble.push(gap);
    reader.gapReason = 'SLOW_READER';
    this.#stallTimer = this.#watchStall(options.limits.stallMs);
  }

  /** Whether it has ended. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /**
   * The events, until the exit or {@link ReaderStream.close}. Throws what the stream was closed with.
   * The bytes of an event are the receiver's only until it asks for the next one.
   */
  async *events(): AsyncGenerator<TerminalEvent, void, undefined> {
    try {
      while (!this.#closed) {
        const event = this.#next() ?? (await this.#quiet.wait());
        if (!event) continue;
        this.#handingSince = this.#options.clock.monotonic();
        yield event;
        this.#handed();
        if (event.type === 'exited') return;
      }
      if (this.#error) throw this.#error;
    } finally {
      // The connection ended before it took everything, and may still be reading.
      this.#giveBack({ isLost: true });
      this.close();
    }
  }

  /** Looks again whether there is something to read. With a full window only an acknowledgement is news. */
  wake(): void {
    if (this.#windowFullSince === undefined || this.#closed) this.#quiet.wake();
  }

  /** The reader has processed everything before its cursor. */
  acknowledged(): void {
    this.#windowStart = Math.max(this.#windowStart, this.#options.reader.cursor);
    this.#windowFullSince = undefined;
    this.wake();
  }

  /** Ends the stream. Idempotent. */
  close(error?: DomainError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#stallTimer.clear();
    this.#options.onClosed();
    this.#quiet.end();
  }

  #next(): TerminalEvent | undefined {
    const { log } = this.#options.source;
    const first = this.#preamble.shift();
    if (first) return first;
    const allowance = this.#allowance();
    const isBehind = this.#position.cursor < log.start;
    // Told only when output may follow: a reader that acknowledges nothing gets one gap, not many.
    if (isBehind && allowance > 0) return this.#skipGap();
    const item = isBehind ? undefined : this.#read(allowance);
    if (item?.type === 'bytes') return { type: 'output', cursor: item.cursor, data: item.data };
    if (item) return { type: 'resized', cursor: item.cursor, ...item.value };
    const { cursor } = this.#position;
    const exit = this.#options.source.exit();
    if (exit && cursor === log.end) return { type: 'exited', cursor, exit };
    if (cursor < log.end) this.#windowFullSince ??= this.#options.clock.monotonic();
    return undefined;
  }

  #read(maxBytes: number): LogItem<TerminalSize> | undefined {
    const { log, buffers } = this.#options.source;
    const { cursor } = this.#position;
    return log.read(this.#position, maxBytes, (bytes) => {
      this.#borrowedAt = cursor;
      return buffers.borrow(cursor).subarray(0, bytes);
    });
  }

  #giveBack(options: { readonly isLost: boolean }): void {
    if (this.#borrowedAt === undefined) return;
    this.#options.source.buffers.giveBack(this.#borrowedAt, options);
    this.#borrowedAt = undefined;
  }

  /** Moves on to what is still held, and says so. */
  #skipGap(): TerminalEvent | undefined {
    const { reader, source } = this.#options;
    const from = this.#position.cursor;
    const to = source.log.start;
    if (from >= to) return undefined;
    Object.assign(this.#position, source.log.positionAt(to));
    this.#windowStart += to - from;
    return { type: 'gap', from, to, reason: reader.gapReason };
  }

  /** Most bytes that may be sent now. */
  #allowance(): number {
    const { limits, acknowledges } = this.#options;
    if (!acknowledges) return limits.messageBytes;
    const room = this.#windowStart + limits.windowBytes - this.#position.cursor;
    return Math.min(Math.max(room, 0), limits.messageBytes);
  }

  #handed(): void {
    const { acknowledges, reader, onMoved } = this.#options;
    this.#quiet.onSpoken();
    this.#giveBack({ isLost: false });
    this.#handingSince = undefined;
    if (acknowledges || this.#closed) return;
    reader.cursor = this.#position.cursor;
    onMoved();
  }

  #watchStall(delayMs: number): Timer {
    const { clock, limits } = this.#options;
    return clock.setTimer(() => {
      const now = clock.monotonic();
      const since = Math.min(this.#handingSince ?? now, this.#windowFullSince ?? now);
      const remaining = since + limits.stallMs - now;
      if (remaining > 0) this.#stallTimer = this.#watchStall(remaining);
      else this.#stalled();
    }, delayMs);
  }

  #stalled(): void {
    const seconds = this.#options.limits.stallMs / 1000;
    const isHanding = this.#handingSince !== undefined;
    this.close(
      new DomainError(
        'SLOW_READER',
        `the reader took nothing for ${seconds} s; it may attach again`,
      ),
    );
    if (isHanding) this.#options.disconnect();
  }
}
