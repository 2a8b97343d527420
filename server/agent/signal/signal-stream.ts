import type { Clock } from '../../core/clock.ts';
import type { DomainError } from '../../core/domain-error.ts';
import { QuietTime } from '../../core/quiet-time.ts';
import type { GapReason, OpenPort, Signal, SignalEvent } from './events.ts';
import type { SignalLimits } from './limits.ts';
import type { SignalLog } from './signal-log.ts';
import type { SignalReader } from './signal-reader.ts';

/** A place in the log: a signal, or that nobody looked for ports until here. */
export type SignalEntry = Signal | { readonly type: 'unwatched' };

export type SignalStreamOptions = {
  readonly reader: SignalReader;
  readonly log: SignalLog<SignalEntry>;
  readonly ports: () => readonly OpenPort[];
  readonly clock: Clock;
  readonly limits: Pick<SignalLimits, 'signalKeepAliveMs'>;
  /** Names the life of the log. */
  readonly incarnation: string;
  /** Number of the first signal wanted. */
  readonly cursor: number;
  /** The cursor that belongs to another incarnation, if the reader came with one. */
  readonly foreignCursor?: number;
  readonly wantsPorts: boolean;
  /** Called once at the end. */
  readonly onClosed: () => void;
};

/** One connection's reading of the signals. It holds a position, so a slow one costs no memory. */
export class SignalStream {
  readonly #options: SignalStreamOptions;
  readonly #preamble: SignalEvent[] = [];
  /** Number of the next signal. Only grows. */
  #cursor: number;
  /** Whether the open ports are told once the reader has caught up. */
  #arePortsDue: boolean;
  readonly #quiet: QuietTime;
  #isClosed = false;
  #error: DomainError | undefined;

  constructor(options: SignalStreamOptions) {
    const { reader, log, cursor, foreignCursor, incarnation } = options;
    this.#options = options;
    this.#cursor = cursor;
    this.#arePortsDue = options.wantsPorts || foreignCursor !== undefined;
    this.#quiet = new QuietTime(options.clock, options.limits.signalKeepAliveMs);
    const { id: readerId } = reader;
    this.#preamble.push({ type: 'ready', incarnation, cursor, replayUntil: log.end, readerId });
    if (foreignCursor !== undefined)
      this.#preamble.push({ type: 'gap', from: foreignCursor, to: cursor, reason: 'INCARNATION' });
    if (cursor < log.start) this.#preamble.push(this.#skipTo(log.start, reader.gapReason));
    reader.gapReason = 'SLOW_READER';
  }

  /** The events, until {@link SignalStream.close}. Throws what the stream was closed with. */
  async *events(): AsyncGenerator<SignalEvent, void, undefined> {
    try {
      while (!this.#isClosed) {
        const event = this.#next() ?? (await this.#quiet.wait());
        if (!event) continue;
        yield event;
        this.#quiet.onSpoken();
      }
      if (this.#error) throw this.#error;
    } finally {
      this.close();
    }
  }

  /** Looks again whether there is something to read. */
  wake(): void {
    this.#quiet.wake();
  }

  /** Ends the stream. Idempotent. */
  close(error?: DomainError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#error = error;
    this.#options.onClosed();
    this.#quiet.end();
  }

  #next(): SignalEvent | undefined {
    const { log, ports } = this.#options;
    const first = this.#preamble.shift();
    if (first) return first;
    if (this.#cursor < log.start) return this.#skipTo(log.start, 'SLOW_READER');
    const cursor = this.#cursor;
    const entry = log.at(cursor);
    if (entry?.type === 'unwatched') return this.#skipTo(cursor + 1, 'LEASE_EXPIRED');
    if (entry) {
      this.#cursor += 1;
      return { type: 'signal', cursor, signal: entry };
    }
    if (!this.#arePortsDue) return undefined;
    this.#arePortsDue = false;
    return { type: 'ports', cursor, ports: ports() };
  }

  #skipTo(to: number, reason: GapReason): SignalEvent {
    const from = this.#cursor;
    this.#cursor = to;
    this.#arePortsDue = true;
    return { type: 'gap', from, to, reason };
  }
}
