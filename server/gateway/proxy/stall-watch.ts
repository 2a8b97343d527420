import type { Clock, Timer } from '../../core/clock.ts';

/** How long a client may take no byte of an answer, in milliseconds. Then its call is reset. */
export const MAX_STALL_MS = 30_000;
/**
 * How often a client that is behind is looked at, in milliseconds. A move is noticed up to one look
 * too late and a stall too, so a client is cut up to two looks too late.
 */
const CHECK_MS = 1_000;

/** What waits for a client: an answer, or a connection. */
type WaitingBytes = { readonly writableLength: number };

/** Notices a client that takes nothing of what waits for it. */
export class StallWatch {
  readonly #clock: Clock;
  readonly #response: WaitingBytes;
  readonly #onStall: () => void;
  #timer: Timer | undefined;
  /** How many bytes waited at the last look. */
  #waiting = 0;
  /** When the client was last seen to take something, or the watch began. */
  #movedAt = 0;

  constructor(clock: Clock, response: WaitingBytes, onStall: () => void) {
    this.#clock = clock;
    this.#response = response;
    this.#onStall = onStall;
  }

  /** Begins to watch, if nobody does. */
  start(): void {
    if (this.#timer) return;
    this.#waiting = this.#response.writableLength;
    this.#movedAt = this.#clock.monotonic();
    this.#arm();
  }

  stop(): void {
    this.#timer?.clear();
    this.#timer = undefined;
  }

  #arm(): void {
    this.#timer = this.#clock.setTimer(() => this.#check(), CHECK_MS);
  }

  #check(): void {
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    const waiting = this.#response.writableLength;
    if (waiting < this.#waiting) this.#movedAt = now;
    this.#waiting = waiting;
    if (now - this.#movedAt < MAX_STALL_MS) this.#arm();
    else this.#onStall();
  }
}
