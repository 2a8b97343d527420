import { linkController, sleep } from './abort.ts';
import type { Clock } from './clock.ts';

/** A wait that can be cut short. */
export class Pause {
  #skip: (() => void) | undefined;

  /** Resolves after a time, or sooner: when it is skipped, or when the signal fires. */
  async wait(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
    const pause = linkController(signal);
    this.#skip = () => pause.abort();
    try {
      await sleep(clock, delayMs, pause.signal);
    } catch {
      // Skipped, or over: whoever waits sees which.
    } finally {
      this.#skip = undefined;
      pause.unlink();
    }
  }

  /** Ends the wait of now, if there is one. */
  skip(): void {
    this.#skip?.();
  }
}
