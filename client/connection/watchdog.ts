import type { Clock, Timer } from './clock.ts';

/** Silence after which the other end is asked whether it is there. */
const QUIET_AFTER_MS = 10_000;
/** Silence after which a stream or call counts as dead. The server speaks every 5 s. */
export const DEAD_AFTER_MS = 12_000;
/** How often the watchdog looks, and so proves that its own loop runs. */
const TICK_MS = 1_000;
/** The most that one look adds: the loop did not run in the rest, so nothing could be heard. */
const MAX_STEP_MS = 2 * TICK_MS;
/** A pause of the own loop after which the network may be another one. */
const SLEPT_MS = 5_000;
/** After a wake, an idle but living stream is heard within 5 s. */
const SUSPECT_GRACE_MS = 6_000;

/** What happens when something stays silent. */
export interface SilenceHandlers {
  readonly onQuiet: () => void;
  readonly onDead: () => void;
}

/** One thing under watch. */
export interface Watch {
  /** A sign of life came. */
  alive(): void;
  stop(): void;
}

type Entry = SilenceHandlers & { lastAliveMs: number; quietTold: boolean };

/**
 * Notices silence. It counts only time in which its own loop ran, so that a throttled tab, a
 * suspended laptop or a stopped process does not mistake its own sleep for a dead peer.
 */
export class Watchdog {
  readonly #clock: Clock;
  readonly #onSlept: () => void;
  readonly #entries = new Set<Entry>();
  #timer: Timer | undefined;
  /** Time in which the loop ran, in milliseconds; only grows. */
  #ranMs = 0;
  #lastLookMs: number;

  constructor(clock: Clock, onSlept: () => void) {
    this.#clock = clock;
    this.#onSlept = onSlept;
    this.#lastLookMs = clock.now();
  }

  watch(handlers: SilenceHandlers): Watch {
    if (this.#entries.size === 0) this.#lastLookMs = this.#clock.now();
    const entry: Entry = { ...handlers, lastAliveMs: this.#look(), quietTold: false };
    this.#entries.add(entry);
    this.#schedule();
    return {
      alive: () => {
        entry.lastAliveMs = this.#look();
        entry.quietTold = false;
      },
      stop: () => {
        this.#entries.delete(entry);
        if (this.#entries.size === 0) this.#stopLooking();
      },
    };
  }

  /** Something hints at a dead network: whoever is not heard within 6 s counts as dead. */
  suspect(): void {
    const latestMs = this.#look() - (DEAD_AFTER_MS - SUSPECT_GRACE_MS);
    for (const entry of this.#entries) entry.lastAliveMs = Math.min(entry.lastAliveMs, latestMs);
  }

  #stopLooking(): void {
    this.#timer?.clear();
    this.#timer = undefined;
  }

  #look(): number {
    const nowMs = this.#clock.now();
    this.#ranMs += Math.min(nowMs - this.#lastLookMs, MAX_STEP_MS);
    this.#lastLookMs = nowMs;
    return this.#ranMs;
  }

  /** Looks again after a tick, or earlier if something comes due. */
  #schedule(): void {
    if (this.#timer) return;
    let delayMs = TICK_MS;
    for (const { lastAliveMs, quietTold } of this.#entries) {
      const dueMs = lastAliveMs + (quietTold ? DEAD_AFTER_MS : QUIET_AFTER_MS);
      delayMs = Math.min(delayMs, Math.max(dueMs - this.#ranMs, 0));
    }
    this.#timer = this.#clock.setTimer(() => this.#tick(), delayMs, { background: true });
  }

  #tick(): void {
    this.#timer = undefined;
    const sleptMs = this.#clock.now() - this.#lastLookMs;
    const ranMs = this.#look();
    for (const entry of [...this.#entries]) {
      const silentMs = ranMs - entry.lastAliveMs;
      if (silentMs >= DEAD_AFTER_MS) {
        this.#entries.delete(entry);
        entry.onDead();
      } else if (silentMs >= QUIET_AFTER_MS && !entry.quietTold) {
        entry.quietTold = true;
        entry.onQuiet();
      }
    }
    if (this.#entries.size > 0) this.#schedule();
    if (sleptMs >= SLEPT_MS) this.#onSlept();
  }
}
