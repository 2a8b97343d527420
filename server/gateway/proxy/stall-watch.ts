import type { Clock, Timer } from '../../core/clock.ts';
import type { HttpResponse } from '../../rpc/connect-node.ts';

/** How long a client may take no byte of an answer, in milliseconds. Then its call is reset. */
export const MAX_STALL_MS = 30_000;

/** Notices a client that takes nothing of what waits for it. */
export class StallWatch {
  readonly #clock: Clock;
  readonly #response: HttpResponse;
  readonly #onStall: () => void;
  #timer: Timer | undefined;
  /** How many bytes waited when the timer was set. */
  #waiting = 0;

  constructor(clock: Clock, response: HttpResponse, onStall: () => void) {
    this.#clock = clock;
    this.#response = response;
    this.#onStall = onStall;
  }

  /** Begins to watch, if nobody does. */
  start(): void {
    if (this.#timer) return;
    this.#waiting = this.#response.writableLength;
    this.#timer = this.#clock.setTimer(() => this.#check(), MAX_STALL_MS);
  }

  stop(): void {
    this.#timer?.clear();
    this.#timer = undefined;
  }

  #check(): void {
    this.#timer = undefined;
    if (this.#response.writableLength < this.#waiting) this.start();
    else this.#onStall();
  }
}
