import type { Clock, Timer } from '../../server/core/clock.ts';

type Pending = { readonly at: number; readonly order: number; readonly task: () => void };

/** A clock that stands still until it is told to go on. */
export class FakeClock implements Clock {
  #wall: number;
  #monotonic = 0;
  #order = 0;
  readonly #pending = new Set<Pending>();

  constructor(startAt = Date.UTC(2026, 0, 1)) {
    this.#wall = startAt;
  }

  /** How many timers wait: a suite that cleaned up leaves none. */
  get pendingTimers(): number {
    return this.#pending.size;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  setTimer(task: () => void, delayMs: number): Timer {
    const pending = { at: this.#monotonic + Math.max(0, delayMs), order: this.#order++, task };
    this.#pending.add(pending);
    return { clear: () => void this.#pending.delete(pending) };
  }

  /** Lets time pass, and runs what falls due in its order, what that starts included. */
  advance(ms: number): void {
    const until = this.#monotonic + ms;
    for (let due = this.#next(until); due; due = this.#next(until)) {
      this.#pending.delete(due);
      this.#moveTo(due.at);
      due.task();
    }
    this.#moveTo(until);
  }

  /** As {@link advance}, in steps, and lets promises settle between them. */
  async advanceAsync(ms: number, stepMs = 100): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.advance(Math.min(left, stepMs));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Moves the wall clock alone, as an administrator or NTP does. */
  stepWallClock(ms: number): void {
    this.#wall += ms;
  }

  #next(until: number): Pending | undefined {
    let first: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.at > until) continue;
      if (
        !first ||
        pending.at < first.at ||
        (pending.at === first.at && pending.order < first.order)
      )
        first = pending;
    }
    return first;
  }

  #moveTo(monotonic: number): void {
    this.#wall += monotonic - this.#monotonic;
    this.#monotonic = monotonic;
  }
}
