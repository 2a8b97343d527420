import type { Clock } from './clock.ts';
import { deferred } from './deferred.ts';

/** How a stream waits for its next event: until it is woken, or until it was silent for too long. */
export class QuietTime {
  readonly #clock: Clock;
  readonly #keepAliveMs: number;
  /** When the connection was handed something last. */
  #spokenAt: number;
  #wake: (() => void) | undefined;

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
    this.#wake?.();
  }

  /** Resolves with nothing when woken, or with a keep-alive when the connection got nothing for a while. */
  async wait(): Promise<{ readonly type: 'keepAlive' } | undefined> {
    const woken = deferred<{ readonly type: 'keepAlive' } | undefined>();
    const delayMs = this.#spokenAt + this.#keepAliveMs - this.#clock.monotonic();
    const timer = this.#clock.setTimer(() => woken.resolve({ type: 'keepAlive' }), delayMs);
    this.#wake = () => woken.resolve(undefined);
    const event = await woken.promise;
    timer.clear();
    this.#wake = undefined;
    return event;
  }
}
