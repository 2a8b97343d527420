/** Where time comes from, so that a test can own it. */
export interface Clock {
  /** Wall clock, in milliseconds since the epoch. */
  now(): number;
  /** Monotonic time in milliseconds, for durations. */
  monotonic(): number;
  /** Calls `task` once after `delayMs`. Delays beyond what a timer can hold are cut to that. */
  setTimer(task: () => void, delayMs: number): Timer;
}

/** A pending call of a {@link Clock}. */
export interface Timer {
  /** Cancels the call. Does nothing once it ran. */
  clear(): void;
}

/** The longest delay a Node.js timer can hold; a longer one would fire at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** The machine's clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(task, delayMs) {
    const timer = setTimeout(task, Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
    timer.unref();
    return { clear: () => clearTimeout(timer) };
  },
};
