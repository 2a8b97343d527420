import type { Clock } from '../../core/clock.ts';

/** File systems note the time of a write this coarsely. */
const TIME_GRAIN_MS = 20;
/** Files remembered; the oldest is forgotten. */
const MAX_FILES = 1000;

/**
 * Files that were looked at within a grain of time of their last write: one that follows may leave
 * time and size as they are, so that only the system's event tells of it.
 */
export class RecentWrites {
  readonly #clock: Clock;
  readonly #paths = new Set<string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a write since may have left no trace. */
  has(path: string): boolean {
    return this.#paths.has(path);
  }

  /** A file was looked at just now, and was last written at `mtimeMs`. */
  note(path: string, mtimeMs: number): void {
    this.#paths.delete(path);
    if (this.#clock.now() - mtimeMs > TIME_GRAIN_MS) return;
    this.#paths.add(path);
    const [oldest] = this.#paths;
    if (this.#paths.size > MAX_FILES && oldest !== undefined) this.#paths.delete(oldest);
  }
}
