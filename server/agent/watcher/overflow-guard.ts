import { readFileSync } from 'node:fs';
import type { Clock, Timer } from '../../core/clock.ts';

export type OverflowGuardOptions = {
  readonly clock: Clock;
  /** Calls a task when the events that wait in the system now have been taken. */
  readonly afterDrain: (task: () => void) => void;
  /** How many events the system keeps. */
  readonly maxQueuedEvents: number;
  /** Called when events may have been dropped. */
  readonly onSuspect: () => void;
};

/** How often the guard looks whether its loop runs. */
const TICK_MS = 100;
/** A loop that was late by this much may have left events lying for too long. */
const MAX_LAG_MS = 250;
/** What Linux keeps unless told otherwise. */
const DEFAULT_QUEUED_EVENTS = 16_384;

/**
 * Suspects that the system dropped events. It never says so itself: inotify does, but libuv throws
 * that away. A false alarm costs a scan.
 */
export class OverflowGuard {
  readonly #options: OverflowGuardOptions;
  /** Events taken since the loop last came round. */
  #drained = 0;
  /** Whether events were taken since the last look at the loop. */
  #hasEvents = false;
  #hasLagged = false;
  /** Whether the suspicion was told since the last look at the loop. */
  #isTold = false;
  #timer: Timer | undefined;

  constructor(options: OverflowGuardOptions) {
    this.#options = options;
  }

  /** Starts to look at the loop. */
  start(): void {
    this.#timer ??= this.#tick();
  }

  /** Stops looking. */
  stop(): void {
    this.#timer?.clear();
    this.#timer = undefined;
  }

  /** The system told of an event. */
  noteEvent(): void {
    const { afterDrain, maxQueuedEvents } = this.#options;
    if (this.#drained === 0) afterDrain(() => (this.#drained = 0));
    this.#drained += 1;
    this.#hasEvents = true;
    if (this.#drained >= maxQueuedEvents / 2 || this.#hasLagged) this.#suspect();
  }

  #suspect(): void {
    this.#hasLagged = false;
    if (this.#isTold) return;
    this.#isTold = true;
    this.#options.onSuspect();
  }

  #tick(): Timer {
    const { clock } = this.#options;
    const dueAt = clock.monotonic() + TICK_MS;
    return clock.setTimer(() => {
      this.#timer = this.#tick();
      const hasLagged = clock.monotonic() - dueAt > MAX_LAG_MS;
      // The events that waited meanwhile come before this or after, as the loop went to sleep or not.
      if (hasLagged && this.#hasEvents) this.#suspect();
      this.#isTold = false;
      this.#hasLagged = hasLagged && !this.#hasEvents;
      this.#hasEvents = false;
    }, TICK_MS);
  }
}

/** How many events the system keeps for one who watches. */
export function maxQueuedEvents(): number {
  try {
    const text = readFileSync('/proc/sys/fs/inotify/max_queued_events', 'latin1');
    return Number.parseInt(text, 10) || DEFAULT_QUEUED_EVENTS;
  } catch {
    return DEFAULT_QUEUED_EVENTS;
  }
}
