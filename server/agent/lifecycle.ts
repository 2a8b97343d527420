import type { Clock, Timer } from '../core/clock.ts';

export type LifecycleOptions = {
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** How long the agent lives without a gateway that looks after it. */
  readonly graceMs: number;
  /** Called once, when the agent shall end. */
  readonly onEnd: (why: 'expired' | 'abandoned') => void;
};

/** The wall clock may be set: it is looked at again at least this often. */
const LONGEST_WAIT_MS = 30_000;

/** Decides when an agent ends itself: at its expiry, or when no gateway looked after it for too long. */
export class Lifecycle {
  readonly #options: LifecycleOptions;
  /** Milliseconds since the epoch. */
  #expiresAt: number;
  /** Gateways that look after this agent now. */
  #gateways = 0;
  #expiryTimer: Timer | undefined;
  #graceTimer: Timer | undefined;
  #isEnded = false;

  constructor(options: LifecycleOptions) {
    this.#options = options;
    this.#expiresAt = options.expiresAt;
    this.#watchExpiry();
    this.#watchGrace();
  }

  /** Moves the expiry. One that has passed ends the agent at once. */
  setExpiry(expiresAt: number): void {
    this.#expiresAt = expiresAt;
    this.#watchExpiry();
  }

  /** Notes that a gateway looks after this agent. Returns what notes that it stopped. */
  greet(): () => void {
    this.#gateways += 1;
    this.#graceTimer?.clear();
    let greeted = true;
    return () => {
      if (!greeted) return;
      greeted = false;
      this.#gateways -= 1;
      if (this.#gateways === 0) this.#watchGrace();
    };
  }

  /** Stops watching. */
  close(): void {
    this.#isEnded = true;
    this.#expiryTimer?.clear();
    this.#graceTimer?.clear();
  }

  #watchExpiry(): void {
    this.#expiryTimer?.clear();
    if (this.#isEnded) return;
    const { clock } = this.#options;
    const remaining = this.#expiresAt - clock.now();
    if (remaining <= 0) this.#end('expired');
    else
      this.#expiryTimer = clock.setTimer(
        () => this.#watchExpiry(),
        Math.min(remaining, LONGEST_WAIT_MS),
      );
  }

  #watchGrace(): void {
    if (this.#isEnded) return;
    const { clock, graceMs } = this.#options;
    this.#graceTimer = clock.setTimer(() => this.#end('abandoned'), graceMs);
  }

  #end(why: 'expired' | 'abandoned'): void {
    if (this.#isEnded) return;
    this.close();
    this.#options.onEnd(why);
  }
}
