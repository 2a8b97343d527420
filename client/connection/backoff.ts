/** The first delay is chosen between 0 and this, the next between 0 and twice this, and so on. */
const BASE_MS = 250;
/** No delay is longer. */
const MAX_MS = 30_000;

/**
 * Delays between attempts: the first retry at once, then full jitter between 0 and
 * min(30 s, 250 ms · 2ⁿ). It never gives up; whoever asks decides when to stop.
 */
export class Backoff {
  readonly #random: () => number;
  /** Failures since the last success; only grows between resets. */
  #failures = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** How many delays were handed out since the last reset. */
  get attempts(): number {
    return this.#failures;
  }

  /** The delay before the next attempt, in milliseconds. */
  next(): number {
    this.#failures += 1;
    if (this.#failures === 1) return 0;
    const limit = Math.min(MAX_MS, BASE_MS * 2 ** (this.#failures - 2));
    return this.#random() * limit;
  }

  /** Progress was made: the next delay is 0 again. */
  reset(): void {
    this.#failures = 0;
  }
}
