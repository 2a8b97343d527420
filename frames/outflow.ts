/** What a call may send of its messages before its receiver has taken them, in bytes. */
export const STREAM_WINDOW_BYTES = 128 * 1024;
/** What all calls of a connection may send before it has arrived, in bytes: what a key waits behind. */
export const CONNECTION_WINDOW_BYTES = 256 * 1024;
/** Messages up to this size need no room in the connection's window: keys do not wait for floods. */
const SMALL_MESSAGE_BYTES = 1024;

/**
 * Who may send how much. A message may be sent as long as its windows are open; it may be larger
 * than what is left of them. Calls that wait for the connection take turns.
 */
export class Outflow {
  /** What may be sent now; below 0 after a message that was larger than the rest. */
  #left = CONNECTION_WINDOW_BYTES;
  /** Calls that wait for the connection, first come, first served. */
  readonly #waiting = new Set<OutflowStream>();

  /** Whether messages of this size may be sent, as far as the connection is concerned. */
  isOpenFor(bytes: number): boolean {
    return bytes <= SMALL_MESSAGE_BYTES || (this.#left > 0 && this.#waiting.size === 0);
  }

  spend(bytes: number): void {
    this.#left -= bytes;
  }

  /** The receiver allows so many bytes more. */
  grant(bytes: number): void {
    this.#left = Math.min(this.#left + bytes, CONNECTION_WINDOW_BYTES);
    for (const stream of this.#waiting) {
      if (this.#left <= 0) return;
      this.#waiting.delete(stream);
      stream.proceed();
    }
  }

  wait(stream: OutflowStream): void {
    this.#waiting.add(stream);
  }

  leave(stream: OutflowStream): void {
    this.#waiting.delete(stream);
  }
}

/** The messages that one call sends. One of them waits at a time. */
export class OutflowStream {
  readonly #connection: Outflow;
  #left = STREAM_WINDOW_BYTES;
  #size = 0;
  #send: (() => void) | undefined;
  #fail: ((reason: unknown) => void) | undefined;
  #closed: { readonly reason: unknown } | undefined;

  constructor(connection: Outflow) {
    this.#connection = connection;
  }

  /** Whether a message of this size may be sent at once. It is then spent. */
  trySpend(bytes: number): boolean {
    if (this.#closed || this.#left <= 0 || !this.#connection.isOpenFor(bytes)) return false;
    this.#left -= bytes;
    this.#connection.spend(bytes);
    return true;
  }

  /** Resolves when a message of this size may be sent; it is then spent. Rejects when the call ends. */
  async spend(bytes: number): Promise<void> {
    if (this.trySpend(bytes)) return;
    if (this.#closed) throw this.#closed.reason;
    await new Promise<void>((resolve, reject) => {
      this.#size = bytes;
      this.#send = resolve;
      this.#fail = reject;
      this.#queue();
    });
  }

  /** The receiver of this call allows so many bytes more. */
  grant(bytes: number): void {
    this.#left = Math.min(this.#left + bytes, STREAM_WINDOW_BYTES);
    if (this.#send) this.#queue();
  }

  /** The connection has room, and it is this call's turn. */
  proceed(): void {
    const send = this.#send;
    if (!send) return;
    this.#send = undefined;
    this.#left -= this.#size;
    this.#connection.spend(this.#size);
    send();
  }

  /** Ends the call: what waits is refused. Idempotent. */
  close(reason: unknown): void {
    this.#closed ??= { reason };
    this.#connection.leave(this);
    this.#send = undefined;
    this.#fail?.(reason);
  }

  #queue(): void {
    if (this.#left <= 0) return;
    if (this.#connection.isOpenFor(this.#size)) this.proceed();
    else this.#connection.wait(this);
  }
}
