import type { Clock, Timer } from '../../../client/connection/clock.ts';

type Entry = { readonly dueMs: number; readonly task: () => void };

/** Rounds of the event loop that a settled system needs at most. */
const SETTLE_ROUNDS = 12;

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  random: () => number = () => 0.5;
  /** The longest delay that a timer was set with. */
  longestDelayMs = 0;
  epochOffsetMs = 1_700_000_000_000;
  #nowMs = 1_000;
  readonly #entries = new Set<Entry>();

  /** Timers that wait: 0 when everything was cleaned up. */
  get pendingTimers(): number {
    return this.#entries.size;
  }

  now(): number {
    return this.#nowMs;
  }

  /** The wall clock, ahead of the monotonic one by `epochOffsetMs`. */
  epochMs(): number {
    return this.#nowMs + this.epochOffsetMs;
  }

  setTimer(task: () => void, delayMs: number): Timer {
    this.longestDelayMs = Math.max(this.longestDelayMs, delayMs);
    const entry = { dueMs: this.#nowMs + delayMs, task };
    this.#entries.add(entry);
    return { clear: () => this.#entries.delete(entry) };
  }

  /** Lets time pass, each timer at its time and everything it causes before the next. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (let next = this.#earliest(untilMs); next; next = this.#earliest(untilMs)) {
      this.#nowMs = Math.max(next.dueMs, this.#nowMs);
      this.#entries.delete(next);
      next.task();
      await settle();
    }
    this.#nowMs = untilMs;
  }

  /** Time passes while nothing runs, as in a stopped process: timers come late, all at once. */
  async sleep(ms: number): Promise<void> {
    this.#nowMs += ms;
    await this.advance(0);
  }

  #earliest(untilMs: number): Entry | undefined {
    let earliest: Entry | undefined;
    for (const entry of this.#entries) {
      if (entry.dueMs <= untilMs && (!earliest || entry.dueMs < earliest.dueMs)) earliest = entry;
    }
    return earliest;
  }
}

/** Waits until promises that wait for nothing but each other are done. */
export async function settle(): Promise<void> {
  for (let round = 0; round < SETTLE_ROUNDS; round += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
