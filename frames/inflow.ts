import { STREAM_WINDOW_BYTES } from './outflow.ts';

/** Credit is granted in pieces of at least this size, in bytes. */
const GRANT_BYTES = STREAM_WINDOW_BYTES / 4;

/**
 * The messages that one call receives, in order, as long as somebody takes them. The sender may go
 * on as they are taken, not as they arrive: whoever does not read makes the sender wait.
 */
export class Inflow implements AsyncIterableIterator<Uint8Array> {
  readonly #grant: (bytes: number) => void;
  readonly #messages: Uint8Array[] = [];
  /** What the sender may still send; below 0 after a message that was larger than the rest. */
  #left = STREAM_WINDOW_BYTES;
  /** What was taken and not granted again. */
  #taken = 0;
  #end: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  /** `grant` tells the sender that it may send so many bytes more. */
  constructor(grant: (bytes: number) => void) {
    this.#grant = grant;
  }

  /** Takes a message. Returns false if the sender was not allowed to send it. */
  push(message: Uint8Array): boolean {
    if (this.#left <= 0) return false;
    this.#left -= message.length;
    if (!this.#end) this.#messages.push(message);
    this.#wake?.();
    return true;
  }

  /** No more messages follow. With an error, reading fails after those that came. */
  end(error?: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      const message = this.#messages.shift();
      if (message) {
        this.#onTaken(message.length);
        return { done: false, value: message };
      }
      if (this.#end) {
        const { error } = this.#end;
        if (error === undefined) return { done: true, value: undefined };
        throw error;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#messages.length = 0;
    this.end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #onTaken(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken < GRANT_BYTES || this.#end) return;
    this.#left += this.#taken;
    this.#grant(this.#taken);
    this.#taken = 0;
  }
}
