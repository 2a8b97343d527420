/** Dropped events are given back in lots of this share of the log, not one by one. */
const SLACK_SHARE = 0.25;

/** The last events of a sequence, each at its number. The oldest go when there are too many. */
export class EventLog<T> {
  readonly #limit: number;
  /** The event of number {@link start}, those after it, and before them what was dropped lately. */
  #events: T[] = [];
  /** Number of the first of {@link #events}. Only grows. */
  #first = 0;

  /** `limit` is the number of events that are held. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Number of the oldest event that is held. */
  get start(): number {
    return Math.max(this.#first, this.end - this.#limit);
  }

  /** Number of the next event. */
  get end(): number {
    return this.#first + this.#events.length;
  }

  /** Adds an event and returns its number. */
  push(event: T): number {
    this.#events.push(event);
    const surplus = this.#events.length - this.#limit;
    if (surplus > this.#limit * SLACK_SHARE) {
      this.#events = this.#events.slice(surplus);
      this.#first += surplus;
    }
    return this.end - 1;
  }

  /** The event of that number. Undefined for one that is not held. */
  at(number: number): T | undefined {
    return number < this.start ? undefined : this.#events[number - this.#first];
  }
}
