import type { Clock, Timer } from '../../core/clock.ts';
import type { GapReason } from './events.ts';
import type { ReaderStream } from './reader-stream.ts';

/**
 * `attached`: it has a stream. `leased`: it has none and is waited for. `expired`: it was waited for
 * long enough; only its name is remembered.
 */
export type ReaderState = 'attached' | 'leased' | 'expired';

/** Somebody who reads a terminal, known across connections. It owns its lease, and no bytes. */
export class Reader {
  readonly id: string;
  /** Who it belongs to. */
  readonly subject: string;
  /** How far it has come for certain: what it acknowledged, or what its connection took. */
  cursor = 0;
  /** What the next gap is blamed on. */
  gapReason: GapReason = 'EVICTED';
  #state: ReaderState = 'expired';
  #stream: ReaderStream | undefined;
  #lease: Timer | undefined;
  readonly #clock: Clock;
  readonly #onExpired: () => void;

  constructor(options: { id: string; subject: string; clock: Clock; onExpired: () => void }) {
    this.id = options.id;
    this.subject = options.subject;
    this.#clock = options.clock;
    this.#onExpired = options.onExpired;
  }

  get state(): ReaderState {
    return this.#state;
  }

  /** Its stream, while it is attached. */
  get stream(): ReaderStream | undefined {
    return this.#stream;
  }

  /** Whether the program waits for it. */
  get isHolding(): boolean {
    return this.#state !== 'expired';
  }

  /** Gives it a stream, in place of a lease. */
  attach(stream: ReaderStream): void {
    this.#lease?.clear();
    this.#state = 'attached';
    this.#stream = stream;
  }

  /** Takes its stream away, for another to follow. */
  takeStream(): ReaderStream | undefined {
    const stream = this.#stream;
    this.#stream = undefined;
    return stream;
  }

  /** Waits for it for that long. */
  lease(leaseMs: number): void {
    this.#stream = undefined;
    this.#lease?.clear();
    this.#state = 'leased';
    if (leaseMs === 0) this.#expire();
    else this.#lease = this.#clock.setTimer(() => this.#expire(), leaseMs);
  }

  /** Ends its lease and its claim. */
  release(): void {
    this.#lease?.clear();
    this.#stream = undefined;
    this.#state = 'expired';
  }

  #expire(): void {
    this.#state = 'expired';
    this.gapReason = 'LEASE_EXPIRED';
    this.#onExpired();
  }
}
