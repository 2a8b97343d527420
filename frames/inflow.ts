import { STREAM_WINDOW_BYTES } from './outflow.ts';

/** Credit is granted in pieces of at least this size, in bytes. */
const GRANT_BYTES = STREAM_WINDOW_BYTES / 4;

/** A reader that waits. */
type Deferred<T> = {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
};

const DONE = { done: true, value: undefined } as const;

/**
 * The messages that one call receives, in order, as long as somebody takes them. The sender may go
 * on as they are taken, not as they arrive: whoever does not read makes the sender wait.
 */
export class Inflow implements AsyncIterableIterator<Uint8Array> {
  readonly #grant: (bytes: number) => void;
  readonly #messages: Uint8Array[] = [];
  /** Those who wait for a message, first come, first served. Only while there is none. */
  readonly #waiting: Deferred<IteratorResult<Uint8Array>>[] = [];
  /** What the sender may still send; below 0 after a message that was larger than the rest. */
  #left = STREAM_WINDOW_BYTES;
  /** What was taken and not granted again. */
  #taken = 0;
  #end: { readonly error: unknown } | undefined;

  /** `grant` tells the sender that it may send so many bytes more. */
  constructor(grant: (bytes: number) => void) {
    this.#grant = grant;
  }

  /** Takes a message. Returns false if the sender was not allowed to send it. */
  push(message: Uint8Array): boolean {
    if (this.#left <= 0) return false;
    this.#left -= message.length;
    if (this.#end) return true;
    const reader = this.#waiting.shift();
    if (!reader) this.#messages.push(message);
    else reader.resolve(this.#take(message));
    return true;
  }

  /** No more messages follow. With an error, reading fails after those that came. */
  end(error?: unknown): void {
    this.#end ??= { error };
    for (const reader of this.#waiting.splice(0)) this.next().then(reader.resolve, reader.reject);
  }

  /** Not an async function: it would cost each key two more promises. */
  next(): Promise<IteratorResult<Uint8Array>> {
    const message = this.#messages.shift();
    if (message) return Promise.resolve(this.#take(message));
    if (this.#end) {
      const { error } = this.#end;
      return error === undefined ? Promise.resolve(DONE) : Promise.reject(error);
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#messages.length = 0;
    this.end();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #take(message: Uint8Array): IteratorResult<Uint8Array> {
    this.#taken += message.length;
    if (this.#taken >= GRANT_BYTES && !this.#end) {
      this.#left += this.#taken;
      this.#grant(this.#taken);
      this.#taken = 0;
    }
    return { done: false, value: message };
  }
}
