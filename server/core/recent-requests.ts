import type { Clock } from './clock.ts';
import { DomainError, invalidArgument } from './domain-error.ts';
import type { Actor } from './principal.ts';

/** Longest request id, in characters. */
const MAX_ID_CHARS = 128;

type Entry<T> = { readonly at: number; readonly result: Promise<T> };

/** Makes a repeated request give the first one's result. A request that failed may be tried again. */
export class RecentRequests<T> {
  readonly #clock: Clock;
  readonly #keptMs: number;
  readonly #limit: number;
  /** In the order in which they came. */
  readonly #entries = new Map<string, Entry<T>>();

  constructor(options: { clock: Clock; keptMs: number; limit: number }) {
    this.#clock = options.clock;
    this.#keptMs = options.keptMs;
    this.#limit = options.limit;
  }

  /** The result of the actor's earlier request of the same id, or that of `task`. An empty id is never the same. */
  run(options: { actor: Actor; requestId: string }, task: () => Promise<T>): Promise<T> {
    const { actor, requestId } = options;
    if (requestId === '') return task();
    if (requestId.length > MAX_ID_CHARS)
      throw invalidArgument('requestId', `must be at most ${MAX_ID_CHARS} characters`);
    this.#forgetOld();
    // The retry may come with a newer token than the request did.
    for (const subject of actor.subjects) {
      const known = this.#entries.get(keyOf(subject, requestId));
      if (known) return known.result;
    }
    if (this.#entries.size >= this.#limit) {
      throw new DomainError(
        'LIMIT_REACHED',
        `more than ${this.#limit} requests in ${this.#keptMs / 60_000} minutes`,
      );
    }
    const result = task();
    const key = keyOf(actor.subject, requestId);
    this.#entries.set(key, { at: this.#clock.monotonic(), result });
    result.catch(() => this.#entries.delete(key));
    return result;
  }

  #forgetOld(): void {
    const oldest = this.#clock.monotonic() - this.#keptMs;
    for (const [key, entry] of this.#entries) {
      if (entry.at > oldest) return;
      this.#entries.delete(key);
    }
  }
}

function keyOf(subject: string, requestId: string): string {
  return `${subject}\0${requestId}`;
}
