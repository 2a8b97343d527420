import { type Gate, newGate } from './gate.ts';

/**
 * Sends values where only the newest matters: one at a time, and those that were overtaken while
 * one was under way are never sent.
 */
export class Latest<T> {
  readonly #send: (value: T) => Promise<void>;
  #next: { value: T; readonly done: Gate } | undefined;
  #isSending = false;

  constructor(send: (value: T) => Promise<void>) {
    this.#send = send;
  }

  /** Resolves when this value, or a newer one, was sent. May be ignored. */
  submit(value: T): Promise<void> {
    if (this.#next) this.#next.value = value;
    else this.#next = { value, done: newGate() };
    const { passed } = this.#next.done;
    if (!this.#isSending) void this.#drain();
    return passed;
  }

  async #drain(): Promise<void> {
    this.#isSending = true;
    for (let next = this.#next; next; next = this.#next) {
      this.#next = undefined;
      try {
        await this.#send(next.value);
        next.done.open();
      } catch (error) {
        next.done.fail(error);
      }
    }
    this.#isSending = false;
  }
}
