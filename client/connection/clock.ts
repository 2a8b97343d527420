/** Where time and chance come from, so that a test can own them. */
export interface Clock {
  /** Monotonic time in milliseconds. */
  now(): number;
  /** Milliseconds since the epoch, as this machine believes. It may be wrong, and jump. */
  epochMs(): number;
  /**
   * Calls `task` once after `delayMs`. A background timer does not keep a Node.js process alive.
   */
  setTimer(task: () => void, delayMs: number, options?: { readonly background: boolean }): Timer;
  /** A number from 0 up to, not including, 1. */
  random(): number;
}

/** A pending call of a {@link Clock}. */
export interface Timer {
  /** Cancels the call. Does nothing once it ran. */
  clear(): void;
}

/** The platform's clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  epochMs: () => Date.now(),
  setTimer(task, delayMs, options) {
    const timer: unknown = setTimeout(task, delayMs);
    if (options?.background && isNodeTimer(timer)) timer.unref();
    // What setTimeout returned: a number in browsers, an object in Node.js. clearTimeout takes both.
    return { clear: () => clearTimeout(timer as number) };
  },
  random: () => Math.random(),
};

function isNodeTimer(timer: unknown): timer is { unref(): void } {
  return typeof timer === 'object' && timer !== null && 'unref' in timer;
}
