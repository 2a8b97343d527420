import type { Clock, Timer } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { QuietTime } from '../../core/quiet-time.ts';
import type { GapReason, WatcherEvent } from './events.ts';
import type { WatcherLimits } from './limits.ts';
import { LogCursor } from './log-cursor.ts';
import type { WatcherLog } from './watcher-log.ts';

export type ReaderStreamOptions = {
  readonly log: WatcherLog;
  readonly clock: Clock;
  readonly limits: WatcherLimits;
  readonly cursor: number;
  readonly readerId: string;
  /** Names the life of the log. */
  readonly incarnation: string;
  /** What a gap is blamed on that is there from the beginning. Later ones are the reader's own. */
  readonly gapReason: GapReason;
  /** Called once at the end. */
  readonly onClosed: () => void;
  /** Cuts the connection, which is the only way to end it while it takes nothing. */
  readonly disconnect: () => void;
};

/** One connection's reading of a watcher. Replay and live events are the same read. */
export class ReaderStream {
  readonly #options: ReaderStreamOptions;
  readonly #cursor: LogCursor;
  #ready: WatcherEvent | undefined;
  #gapReason: GapReason;
  /** Since when an event is being handed to the connection. */
  #handingSince: number | undefined;
  readonly #quiet: QuietTime;
  #stallTimer: Timer;
  #isClosed = false;
  #error: DomainError | undefined;

  constructor(options: ReaderStreamOptions) {
    const { log, clock, limits, cursor, readerId, incarnation } = options;
    this.#options = options;
    this.#gapReason = options.gapReason;
    this.#cursor = new LogCursor({ log, limits, cursor, gapReason: () => this.#gapReason });
    this.#ready = { type: 'ready', incarnation, cursor, replayUntil: log.end, readerId };
    this.#quiet = new QuietTime(clock, limits.watcherKeepAliveMs);
    this.#stallTimer = this.#watchStall(limits.watcherStallMs);
  }

  /** The events, until the watcher's end or {@link ReaderStream.close}. Throws what it was closed with. */
  async *events(): AsyncGenerator<WatcherEvent, void, undefined> {
    try {
      while (!this.#isClosed) {
        const event = await this.#next();
        if (!event || this.#isClosed) continue;
        this.#handingSince = this.#options.clock.monotonic();
        yield event;
        this.#handingSince = undefined;
        this.#quiet.onSpoken();
        if (event.type === 'gap' && event.reason !== 'OVERFLOW') this.#gapReason = 'SLOW_READER';
        if (event.type === 'destroyed') return;
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
    this.#stallTimer.clear();
    this.#options.onClosed();
    this.#quiet.end();
  }

  async #next(): Promise<WatcherEvent | undefined> {
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready) return ready;
    if (!this.#cursor.isAtEnd) return this.#cursor.read();
    const end = this.#options.log.ended;
    if (end) return { type: 'destroyed', cursor: this.#cursor.position, end };
    // Who has come this far was fast enough.
    this.#gapReason = 'SLOW_READER';
    return this.#quiet.wait();
  }

  #watchStall(delayMs: number): Timer {
    const { clock, limits, disconnect } = this.#options;
    return clock.setTimer(() => {
      const now = clock.monotonic();
      const remaining = (this.#handingSince ?? now) + limits.watcherStallMs - now;
      if (remaining > 0) {
        this.#stallTimer = this.#watchStall(remaining);
        return;
      }
      const seconds = limits.watcherStallMs / 1000;
      this.close(
        new DomainError(
          'SLOW_READER',
          `the reader took nothing for ${seconds} s; it may attach again`,
        ),
      );
      disconnect();
    }, delayMs);
  }
}
