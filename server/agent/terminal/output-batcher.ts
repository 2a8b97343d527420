import type { Clock, Timer } from '../../core/clock.ts';

/** Output that follows a delivery sooner than this waits, so that a flood costs few messages. */
const INTERVAL_MS = 4;
/** Waiting output of this size is delivered at once. With the read that reaches it, it fits into one message. */
const MAX_WAITING_BYTES = 60 * 1024;
/** The most that is taken for the echo of input, in bytes: one read of a pty. More is a flood. */
const MAX_ECHO_BYTES = 4 * 1024;

/**
 * Decides when readers are told of new output: a lone key's echo at once, a flood in batches.
 * The bytes themselves lie in the log already.
 */
export class OutputBatcher {
  readonly #clock: Clock;
  readonly #deliver: () => void;
  #deliveredAt = Number.NEGATIVE_INFINITY;
  #waitingBytes = 0;
  /** Whether input came since the last delivery, so that the next output may be its echo. */
  #expectsEcho = false;
  #timer: Timer | undefined;

  constructor(clock: Clock, deliver: () => void) {
    this.#clock = clock;
    this.#deliver = deliver;
  }

  /** Notes that input was typed: somebody may wait for its echo. */
  onInput(): void {
    this.#expectsEcho = true;
  }

  /** Notes that `bytes` bytes of output came. */
  add(bytes: number): void {
    this.#waitingBytes += bytes;
    const elapsed = this.#clock.monotonic() - this.#deliveredAt;
    const isEcho = this.#expectsEcho && this.#waitingBytes <= MAX_ECHO_BYTES;
    const isFull = this.#waitingBytes >= MAX_WAITING_BYTES;
    if (isEcho || isFull || elapsed >= INTERVAL_MS) this.flush();
    else this.#timer ??= this.#clock.setTimer(() => this.flush(), INTERVAL_MS - elapsed);
  }

  /** Delivers now. */
  flush(): void {
    this.#timer?.clear();
    this.#timer = undefined;
    this.#waitingBytes = 0;
    this.#expectsEcho = false;
    this.#deliveredAt = this.#clock.monotonic();
    this.#deliver();
  }
}
