import type { BufferPool } from './buffer-pool.ts';

type SharedBuffer = {
  readonly buffer: Buffer;
  /** Readers that have borrowed it. */
  borrowers: number;
  /** Whether it may be in use after it was given back. */
  isLost: boolean;
};

/**
 * Buffers for the bytes of one log. Readers at the same position share one, so that many who are
 * stuck at a place need no more than one of them.
 */
export class SharedBuffers {
  readonly #pool: BufferPool;
  /** Borrowed buffers, by the offset of their first byte in the log. */
  readonly #shared = new Map<number, SharedBuffer>();

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /**
   * A buffer for bytes of the log from `cursor` on. Another may be reading it already: nothing but
   * these very bytes may be written into it.
   */
  borrow(cursor: number): Buffer {
    const found = this.#shared.get(cursor);
    const shared = found ?? { buffer: this.#pool.take(), borrowers: 0, isLost: false };
    shared.borrowers += 1;
    if (!found) this.#shared.set(cursor, shared);
    return shared.buffer;
  }

  /** Gives it back. `isLost`: something may still be reading it, so that it must not be used again. */
  giveBack(cursor: number, options: { readonly isLost: boolean }): void {
    const shared = this.#shared.get(cursor);
    if (!shared) return;
    shared.borrowers -= 1;
    shared.isLost ||= options.isLost;
    if (shared.borrowers > 0) return;
    this.#shared.delete(cursor);
    if (!shared.isLost) this.#pool.give(shared.buffer);
  }
}
