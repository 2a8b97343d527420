import type { Clock, Timer } from './clock.ts';

/** A credential is renewed at least this long before its end, if it lives for long enough. */
const MIN_LEAD_MS = 60_000;
/** It is renewed when this share of its life is left. */
const LEAD_SHARE = 0.1;
/** However short its life is, it is used for this share of it. */
const MIN_USED_SHARE = 0.5;
/** However short its life seems to be, renewals are this far apart. */
const MIN_DELAY_MS = 500;
/**
 * How long to wait when the credential was accepted although it should have ended: then this
 * machine's clock is wrong, and by how much is not known.
 */
const WRONG_CLOCK_DELAY_MS = 60_000;
/**
 * The clock is read this often at the least: timers stand still while a machine sleeps, and one of
 * more than 2^31 - 1 ms would fire at once.
 */
const MAX_STEP_MS = 3_600_000;

/** Tells in good time before a credential ends: once for each end. */
export class ExpiryWatch {
  readonly #clock: Clock;
  readonly #onDue: (expiresAtMs: number) => void;
  #expiresAtMs: number | undefined;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(clock: Clock, onDue: (expiresAtMs: number) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** The credential was accepted just now and ends then, in milliseconds since the epoch. Undefined: never. */
  watch(expiresAtMs: number | undefined): void {
    if (this.#isStopped || expiresAtMs === this.#expiresAtMs) return;
    this.#expiresAtMs = expiresAtMs;
    this.#timer?.clear();
    if (expiresAtMs === undefined) return;
    const nowMs = this.#clock.epochMs();
    this.#wait(nowMs + delayBefore(expiresAtMs - nowMs), expiresAtMs);
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.clear();
  }

  #wait(dueAtMs: number, expiresAtMs: number): void {
    const remainingMs = dueAtMs - this.#clock.epochMs();
    if (remainingMs <= 0) {
      this.#onDue(expiresAtMs);
      return;
    }
    const step = () => this.#wait(dueAtMs, expiresAtMs);
    const stepMs = Math.min(remainingMs, MAX_STEP_MS);
    this.#timer = this.#clock.setTimer(step, stepMs, { background: true });
  }
}

/** How long to wait with the renewal of a credential that lives for this long. */
function delayBefore(lifeMs: number): number {
  if (lifeMs <= 0) return WRONG_CLOCK_DELAY_MS;
  const leadMs = Math.max(MIN_LEAD_MS, lifeMs * LEAD_SHARE);
  return Math.max(lifeMs - leadMs, lifeMs * MIN_USED_SHARE, MIN_DELAY_MS);
}
