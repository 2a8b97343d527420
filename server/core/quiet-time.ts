import type { Clock, Timer } from './clock.ts';
import { type Deferred, deferred } from './deferred.ts';

type KeepAlive = { readonly type: 'keepAlive' };

/** How a stream waits for its next event: until it is woken, or until it was silent for too long. */
export class QuietTime {
  readonly #clock: Clock;
  readonly #keepAliveMs: number;
  /** When the connection was handed something last. */
  #spokenAt: number;
  /** Resolves when the wait ends. Undefined while nobody waits. */
  #waiting: Deferred<KeepAlive | undefined> | undefined;
  #timer: Timer | undefined;

  constructor(clock: Clock, keepAliveMs: number) {
    this.#clock = clock;
    this.#keepAliveMs = keepAliveMs;
    this.#spokenAt = clock.monotonic();
  }

  /** The connection was handed something. */
  onSpoken(): void {
    this.#spokenAt = this.#clock.monotonic();
  }

  /** Ends the wait, if there is one. */
  wake(): void {
    this.#waiting?.resolve(undefined);
    this.#waiting = undefined;
  }

  /** Ends the last wait. */
  end(): void {
    this.#timer?.clear();
    this.#timer = undefined;
    this.wake();
  }

  /** Resolves with nothing when woken, or with a keep-alive when the connection got nothing for a while. */
  wait(): Promise<KeepAlive | undefined> {
    this.#waiting ??= deferred();
    if (!this.#timer) this.#setTimer();
    return this.#waiting.promise;
  }

  /** One for many waits: each key has a wait. */
  #setTimer(): void {
    const silentMs = this.#clock.monotonic() - this.#spokenAt;
    this.#timer = this.#clock.setTimer(() => this.#onTime(), this.#keepAliveMs - silentMs);
  }

  #onTime(): void {
    this.#timer = undefined;
    if (!this.#waiting) return;
    if (this.#clock.monotonic() - this.#spokenAt < this.#keepAliveMs) {
      this.#setTimer();
      return;
    }
    this.#waiting.resolve({ type: 'keepAlive' });
    this.#waiting = undefined;
  }
}
