import type { SignalLimits } from './limits.ts';

/** Dropped entries are given back in lots of this share of the limit, not one by one. */
const SLACK_SHARE = 0.25;

/** The last entries of a sequence, each at its number. The oldest go when there are too many. */
export class SignalLog<T> {
  readonly #limits: Pick<SignalLimits, 'signals' | 'signalBytes'>;
  readonly #bytesOf: (entry: T) => number;
  /** The entries of the numbers from {@link #first} on, and before {@link #start} what was dropped lately. */
  #entries: T[] = [];
  #first = 0;
  /** Number of the oldest entry that is held. Only grows. */
  #start = 0;
  /** What the entries from {@link #start} on take. */
  #bytes = 0;

  /** `bytesOf` says what an entry takes in memory, roughly. */
  constructor(
    limits: Pick<SignalLimits, 'signals' | 'signalBytes'>,
    bytesOf: (entry: T) => number,
  ) {
    this.#limits = limits;
    this.#bytesOf = bytesOf;
  }

  /** Number of the oldest entry that is held. */
  get start(): number {
    return this.#start;
  }

  /** Number of the next entry. */
  get end(): number {
    return this.#first + this.#entries.length;
  }

  /** Adds an entry. */
  push(entry: T): void {
    this.#entries.push(entry);
    this.#bytes += this.#bytesOf(entry);
    const { signals, signalBytes } = this.#limits;
    while (this.end - this.#start > signals || this.#bytes > signalBytes) this.#dropOldest();
    const dropped = this.#start - this.#first;
    if (dropped <= signals * SLACK_SHARE) return;
    this.#entries = this.#entries.slice(dropped);
    this.#first = this.#start;
  }

  /** The entry of that number. Undefined for one that is not held. */
  at(number: number): T | undefined {
    return number < this.#start ? undefined : this.#entries[number - this.#first];
  }

  #dropOldest(): void {
    const oldest = this.#entries[this.#start - this.#first];
    if (oldest !== undefined) this.#bytes -= this.#bytesOf(oldest);
    // Its place stays until the next lot is given back; what it held may go now.
    delete this.#entries[this.#start - this.#first];
    this.#start += 1;
  }
}
