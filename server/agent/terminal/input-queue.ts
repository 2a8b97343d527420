import type { Clock, Timer } from '../../core/clock.ts';
import { type Deferred, deferred } from '../../core/deferred.ts';
import { DomainError } from '../../core/domain-error.ts';

/** First wait when the terminal takes nothing; it doubles up to the longest. */
const FIRST_RETRY_MS = 1;
const LONGEST_RETRY_MS = 32;
/** Most bytes written before other work gets its turn. */
const MAX_BYTES_PER_TURN = 128 * 1024;

export type InputQueueOptions = {
  readonly clock: Clock;
  /** Writes what it can of `data` and returns how much, 0 if it would block. Throws when it never will. */
  readonly attempt: (data: Uint8Array) => number;
  /** Called when waiting input was written. */
  readonly onRoom: () => void;
};

type Input = { data: Uint8Array; readonly done: Deferred<void> };

/** Writes input in order to something that may take it in pieces or not at all, without ever spinning. */
export class InputQueue {
  readonly #options: InputQueueOptions;
  readonly #queue: Input[] = [];
  /** Bytes in `#queue`. */
  #bytes = 0;
  #retryMs = FIRST_RETRY_MS;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: InputQueueOptions) {
    this.#options = options;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Undefined: all of it was written, as is each key. Else it resolves when all was, and rejects with
   * EXITED when that can no longer happen.
   */
  write(data: Uint8Array): Promise<void> | undefined {
    const isNext = this.#queue.length === 0;
    const isSmall = data.length <= MAX_BYTES_PER_TURN;
    const written = isNext && isSmall && !this.#closed ? this.#tryWrite(data) : 0;
    if (this.#closed) return Promise.reject(exited());
    if (isNext && written === data.length) return undefined;
    const done = deferred<void>();
    const rest = data.subarray(written);
    this.#queue.push({ data: rest, done });
    this.#bytes += rest.length;
    if (written > 0) this.#retryMs = FIRST_RETRY_MS;
    // What is too large for a turn was not tried yet.
    if (isNext && isSmall) this.#backOff();
    else if (isNext) this.#pump();
    return done.promise;
  }

  /** Refuses what waits and what comes. */
  close(): void {
    this.#closed = true;
    this.#timer?.clear();
    this.#bytes = 0;
    for (const input of this.#queue.splice(0)) input.done.reject(exited());
  }

  #pump(): void {
    const before = this.#bytes;
    let budget = MAX_BYTES_PER_TURN;
    for (let input = this.#queue[0]; input; input = this.#queue[0]) {
      if (budget <= 0) {
        this.#retryIn(0);
        break;
      }
      const written = this.#tryWrite(input.data);
      if (this.#closed) return;
      this.#bytes -= written;
      budget -= written;
      if (written > 0) this.#retryMs = FIRST_RETRY_MS;
      if (written === input.data.length) {
        this.#queue.shift();
        input.done.resolve();
      } else if (written > 0) {
        input.data = input.data.subarray(written);
      } else {
        this.#backOff();
        break;
      }
    }
    if (this.#bytes < before) this.#options.onRoom();
  }

  #backOff(): void {
    this.#retryIn(this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
  }

  #tryWrite(data: Uint8Array): number {
    if (data.length === 0) return 0;
    try {
      return this.#options.attempt(data);
    } catch {
      this.close();
      return 0;
    }
  }

  #retryIn(delayMs: number): void {
    this.#timer = this.#options.clock.setTimer(() => {
      this.#timer = undefined;
      this.#pump();
    }, delayMs);
  }
}

function exited(): DomainError {
  return new DomainError('EXITED', 'the program of the terminal has exited');
}
