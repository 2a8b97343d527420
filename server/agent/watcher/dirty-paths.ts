import type { Clock, Timer } from '../../core/clock.ts';

/** Changes of a path within this time are told as one. */
const COALESCE_MS = 50;
/** How long something may be gone before that is told: editors replace a file in two steps. */
const ABSENCE_MS = 100;

/** A path whose state is to be looked at. */
export type DirtyPath = {
  readonly path: string;
  /** It was gone when it was looked at before. */
  readonly wasAbsent: boolean;
  /** Its content has changed, even if its state looks the same. */
  readonly isChanged: boolean;
};

type Entry = { readonly dueAt: number; isChanged: boolean };

/** Paths that something happened to, until they have been left alone for a moment. */
export class DirtyPaths {
  readonly #clock: Clock;
  readonly #onDue: () => void;
  /** In the order in which they become due, like {@link #absent}. */
  readonly #fresh = new Map<string, Entry>();
  readonly #absent = new Map<string, Entry>();
  #timer: Timer | undefined;

  /** `onDue` is called when there is something to take. */
  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#fresh.size + this.#absent.size;
  }

  has(path: string): boolean {
    return this.#fresh.has(path) || this.#absent.has(path);
  }

  /** Something happened to a path. */
  add(path: string, isChanged: boolean): void {
    const known = this.#fresh.get(path);
    if (known) known.isChanged ||= isChanged;
    else this.#fresh.set(path, { dueAt: this.#clock.monotonic() + COALESCE_MS, isChanged });
    this.arm();
  }

  /** A path was found gone: it is looked at once more before that counts. */
  addAbsent(path: string): void {
    if (this.#absent.has(path)) return;
    const dueAt = this.#clock.monotonic() + ABSENCE_MS;
    this.#absent.set(path, { dueAt, isChanged: false });
    this.arm();
  }

  /** Takes what is due out, `limit` paths at most, directories before what is in them. */
  take(limit: number): DirtyPath[] {
    const taken = [
      ...this.#takeFrom(this.#fresh, { limit, wasAbsent: false }),
      ...this.#takeFrom(this.#absent, { limit, wasAbsent: true }),
    ];
    return taken.sort((one, other) => (one.path < other.path ? -1 : 1));
  }

  /** Has `onDue` called when the next path is due. */
  arm(): void {
    if (this.#timer) return;
    const [fresh] = this.#fresh.values();
    const [absent] = this.#absent.values();
    const dueAt = Math.min(fresh?.dueAt ?? Infinity, absent?.dueAt ?? Infinity);
    if (dueAt === Infinity) return;
    this.#timer = this.#clock.setTimer(() => {
      this.#timer = undefined;
      this.#onDue();
    }, dueAt - this.#clock.monotonic());
  }

  clear(): void {
    this.#timer?.clear();
    this.#timer = undefined;
    this.#fresh.clear();
    this.#absent.clear();
  }

  *#takeFrom(
    paths: Map<string, Entry>,
    { limit, wasAbsent }: { limit: number; wasAbsent: boolean },
  ): Generator<DirtyPath> {
    const now = this.#clock.monotonic();
    let count = 0;
    for (const [path, { dueAt, isChanged }] of paths) {
      // A timer may fire a fraction of a millisecond early.
      if (dueAt > now + 1 || count++ === limit) return;
      paths.delete(path);
      yield { path, wasAbsent, isChanged };
    }
  }
}
