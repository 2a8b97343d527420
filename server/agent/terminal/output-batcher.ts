import type { Clock, Timer } from '../../core/clock.ts';

/** Output that follows a delivery sooner than this waits, so that a flood costs few messages. */
const INTERVAL_MS = 4;
/** Waiting output of this size is delivered at once. With the read that reaches it, it fits into one message. */
const MAX_WAITING_BYTES = 60 * 1024;

/**
 * Decides when readers are told of new output: a lone key's echo at once, a flood in batches.
 * The bytes themselves lie in the log already.
 */
export class OutputBatcher {
  readonly #clock: Clock;
  readonly #deliver: () => void;
  #deliveredAt = Number.NEGATIVE_INFINITY;
  #waitingBytes = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, deliver: () => void) {
    this.#clock = clock;
    this.#deliver = deliver;
  }

  /** Notes that `bytes` bytes of output came. */
  add(bytes: number): void {
    this.#waitingBytes += bytes;
    const elapsed = this.#clock.monotonic() - this.#deliveredAt;
    if (elapsed >= INTERVAL_MS || this.#waitingBytes >= MAX_WAITING_BYTES) this.flush();
    else this.#timer ??= this.#clock.setTimer(() => this.flush(), INTERVAL_MS - elapsed);
  }

  /** Delivers now. */
  flush(): void {
    this.#timer?.clear();
    this.#timer = undefined;
    this.#waitingBytes = 0;
    this.#deliveredAt = this.#clock.monotonic();
    this.#deliver();
  }
}
