import type { Clock } from '../../../client/connection/clock.ts';

const KEEP_ALIVE_MS = 5_000;

/** Lets the streams of a fake wait for what a test does next. */
export class News {
  readonly #clock: Clock;
  readonly #wakes = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** There are some: everybody looks. */
  tell(): void {
    for (const wake of [...this.#wakes]) wake();
  }

  /** Waits for news. True if there were none for five seconds. */
  async isIdle(signal: AbortSignal): Promise<boolean> {
    let wake: (isIdle: boolean) => void = () => {};
    const woken = new Promise<boolean>((resolve) => {
      wake = resolve;
    });
    const onNews = (): void => wake(false);
    const timer = this.#clock.setTimer(() => wake(true), KEEP_ALIVE_MS);
    this.#wakes.add(onNews);
    signal.addEventListener('abort', onNews);
    const isIdle = await woken;
    timer.clear();
    this.#wakes.delete(onNews);
    return isIdle;
  }
}
