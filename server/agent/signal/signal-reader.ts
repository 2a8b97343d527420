import type { Clock, Timer } from '../../core/clock.ts';
import type { GapReason } from './events.ts';
import type { SignalStream } from './signal-stream.ts';

/** Somebody who reads signals, known across connections. It owns its lease, and no signals. */
export class SignalReader {
  readonly id: string;
  /** Who it belongs to. */
  readonly subject: string;
  /** What the next gap is blamed on. */
  gapReason: GapReason = 'EVICTED';
  /** Its stream, while it is attached. */
  stream: SignalStream | undefined;
  readonly #clock: Clock;
  #lease: Timer | undefined;
  /** Ends what keeps ports looked for on its behalf. */
  #release: (() => void) | undefined;

  constructor(options: { id: string; subject: string; clock: Clock }) {
    this.id = options.id;
    this.subject = options.subject;
    this.#clock = options.clock;
  }

  /** Whether nobody waits for it any more. */
  get isExpired(): boolean {
    return this.stream === undefined && this.#release === undefined;
  }

  /** Takes over what keeps ports looked for, until {@link lease} or {@link release}. */
  hold(release: () => void): void {
    this.#lease?.clear();
    const earlier = this.#release;
    this.#release = release;
    earlier?.();
  }

  /** Waits for it for that long. */
  lease(leaseMs: number): void {
    this.stream = undefined;
    this.#lease?.clear();
    if (leaseMs === 0) this.#expire();
    else this.#lease = this.#clock.setTimer(() => this.#expire(), leaseMs);
  }

  /** Ends its claim at once. */
  release(): void {
    this.#lease?.clear();
    this.stream = undefined;
    this.#release?.();
    this.#release = undefined;
  }

  #expire(): void {
    this.gapReason = 'LEASE_EXPIRED';
    this.release();
  }
}
