/** What all streams together may pass on in one turn of the loop, in bytes: some 5 ms of work. */
const TURN_BYTES = 512 * 1024;
/** What a stream that goes on is expected to bring at once, in bytes: one read of a socket. */
const READ_BYTES = 64 * 1024;

/**
 * Shares the turns of the loop among streams. Without it a turn reads up to 2 MB of each flooding
 * stream: with a thousand of them it takes seconds, and revocations, timers and keys wait for it.
 */
export class LoopShare {
  /** What is left of this turn. */
  #left = TURN_BYTES;
  /** Streams that wait for a later turn, first come, first served. One entry each at the most. */
  readonly #waiting = new Set<() => void>();
  #isScheduled = false;

  /** How many streams wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Counts what a stream brought. Returns whether it may go on in this turn; if not, `resume` is called later. */
  take(bytes: number, resume: () => void): boolean {
    this.#left -= bytes;
    // A key needs no new turn. Whatever went before, a turn begins with half of its share at least.
    if (this.#left < TURN_BYTES / 2) this.#schedule();
    if (this.#left > 0) return true;
    this.#waiting.add(resume);
    return false;
  }

  /** Calls `resume` no more. */
  leave(resume: () => void): void {
    this.#waiting.delete(resume);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#nextTurn());
  }

  #nextTurn(): void {
    this.#isScheduled = false;
    this.#left = TURN_BYTES;
    let granted = 0;
    for (const resume of this.#waiting) {
      if (granted >= TURN_BYTES) break;
      granted += READ_BYTES;
      this.#waiting.delete(resume);
      resume();
    }
    if (this.#waiting.size > 0) this.#schedule();
  }
}

/** A process has one loop. */
export const loopShare: LoopShare = new LoopShare();
