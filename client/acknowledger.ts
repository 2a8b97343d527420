import type { Clock, Timer } from './connection/clock.ts';
import { Latest } from './connection/latest.ts';

/** Processed bytes after which the server is told at once. It sends 768 KiB ahead at the most. */
const EVERY_BYTES = 128 * 1024;
/** Processed bytes are told after this long without more of them. */
const IDLE_MS = 250;

/** Tells the server how far the output was processed: rarely, and only the newest position. */
export class Acknowledger {
  readonly #clock: Clock;
  readonly #latest: Latest<number>;
  #told = 0;
  #processed = 0;
  #idle: Timer | undefined;

  constructor(clock: Clock, send: (cursor: number) => Promise<void>) {
    this.#clock = clock;
    this.#latest = new Latest(send);
  }

  /** Everything before `cursor` was processed. */
  processed(cursor: number): void {
    this.#processed = Math.max(this.#processed, cursor);
    if (this.#processed - this.#told >= EVERY_BYTES) this.#tell();
    else this.#idle ??= this.#clock.setTimer(() => this.#onIdle(), IDLE_MS, { background: true });
  }

  stop(): void {
    this.#idle?.clear();
    this.#idle = undefined;
  }

  #onIdle(): void {
    this.#idle = undefined;
    if (this.#processed > this.#told) this.#tell();
  }

  #tell(): void {
    this.stop();
    this.#told = this.#processed;
    // A failure is repaired by the next attach, which tells the position too.
    void this.#latest.submit(this.#processed);
  }
}
