import type { ChangeKind, Difference, NumberedChange, TreeChange } from './events.ts';

/** What tells one state of a path from another. */
export type EntryState = {
  readonly isDirectory: boolean;
  readonly size: number;
  readonly mtimeMs: number;
  readonly inode: number;
  /** When it was made: the inode of what is deleted is soon another one's. */
  readonly bornMs: number;
};

type Entry = {
  /** As it was read: a copy for each file would cost a large tree its time and memory. */
  state: EntryState;
  /** Number of the last change. Negative: as it was found at first. */
  number: number;
  /** Number of the change that first added something at this path, as far as is remembered. */
  addedAt: number;
  /** Names in a directory. */
  readonly children: Set<string> | undefined;
};

type Deletion = {
  readonly kind: ChangeKind;
  readonly number: number;
  readonly addedAt: number;
};

/** What a tree was before its first change. */
const INITIAL = -1;

/**
 * A tree of files as it was last told about. New states of paths are put in, and what comes out are
 * the changes between. It also knows the last change of each path, for readers from far back.
 */
export class WatchedTree {
  readonly #entries = new Map<string, Entry>();
  /** By the number of the deletion, which only grows. */
  readonly #deletions = new Map<string, Deletion>();
  readonly #maxDeletions: number;
  readonly #emit: (change: TreeChange) => number;
  /** Deletions before this number may have been forgotten. */
  #deletionsFrom = 0;
  #isInitial = true;

  /** `emit` tells a change and returns its number. */
  constructor(options: { maxDeletions: number; emit: (change: TreeChange) => number }) {
    this.#maxDeletions = options.maxDeletions;
    this.#emit = options.emit;
  }

  /** Files and directories, the root included. */
  get size(): number {
    return this.#entries.size;
  }

  /** From now on changes are told. */
  start(): void {
    this.#isInitial = false;
  }

  /** What is known of a path. */
  get(path: string): EntryState | undefined {
    return this.#entries.get(path)?.state;
  }

  /** Every path, the root as the empty one. */
  paths(): IterableIterator<string> {
    return this.#entries.keys();
  }

  /** Every path below a directory. */
  *below(path: string): Generator<string> {
    for (const name of this.#entries.get(path)?.children ?? []) {
      const child = childPath(path, name);
      yield child;
      yield* this.below(child);
    }
  }

  /** Whether a state is another one than is known. Directories differ by being another one only. */
  differs(path: string, state: EntryState | undefined): boolean {
    const known = this.get(path);
    if (!known || !state) return known !== state;
    if (known.isDirectory !== state.isDirectory) return true;
    if (state.isDirectory) return false;
    return known.size !== state.size || known.mtimeMs !== state.mtimeMs || !isSame(known, state);
  }

  /** Takes a state in, and tells what changed. The directory of the path is known already. */
  put(path: string, state: EntryState | undefined, options?: { isChanged: boolean }): void {
    const known = this.#entries.get(path);
    if (!state) {
      if (known) this.#remove(path, known);
      return;
    }
    if (known?.state.isDirectory === state.isDirectory) {
      this.#update(path, known, state, options);
      return;
    }
    if (known) this.#remove(path, known);
    this.#add(path, state);
  }

  /** The last change of each path since a number, `limit` of them at most. `end` is the next number. */
  difference(since: number, end: number, limit: number): Difference {
    const found: NumberedChange[] = [];
    for (const [path, entry] of this.#entries) {
      if (entry.number < since) continue;
      const { state, number, addedAt } = entry;
      const kind = state.isDirectory ? 'addDir' : addedAt >= since ? 'add' : 'change';
      const { size, mtimeMs } = state;
      found.push({ kind, path, size, mtimeMs, number });
    }
    for (const [path, { kind, number, addedAt }] of this.#deletions) {
      if (number >= since && addedAt < since)
        found.push({ kind, path, size: 0, mtimeMs: 0, number });
    }
    found.sort((one, other) => one.number - other.number);
    const changes = found.slice(0, limit);
    const last = changes.at(-1);
    const next = last && found.length > limit ? last.number + 1 : end;
    return { changes, next, isIncomplete: since < this.#deletionsFrom };
  }

  #add(path: string, state: EntryState): void {
    const children = state.isDirectory ? new Set<string>() : undefined;
    const entry: Entry = { state, number: INITIAL, addedAt: INITIAL, children };
    this.#entries.set(path, entry);
    if (path !== '') this.#entries.get(parentPath(path))?.children?.add(nameOf(path));
    const kind = state.isDirectory ? 'addDir' : 'add';
    const deletion = this.#deletions.get(path);
    if (deletion?.kind === (state.isDirectory ? 'unlinkDir' : 'unlink')) {
      // Who is told of the addition need not hear of the deletion before.
      this.#deletions.delete(path);
    }
    entry.number = this.#tell(kind, path, state);
    // Who had what was deleted hears of the next deletion too, though never of this addition.
    entry.addedAt = deletion?.addedAt ?? entry.number;
  }

  #update(
    path: string,
    known: Entry,
    state: EntryState,
    options: { isChanged: boolean } | undefined,
  ): void {
    const isNews = this.differs(path, state) || options?.isChanged === true;
    known.state = state;
    if (isNews && !state.isDirectory) known.number = this.#tell('change', path, state);
  }

  #remove(path: string, entry: Entry): void {
    for (const name of [...(entry.children ?? [])]) {
      const child = childPath(path, name);
      const childEntry = this.#entries.get(child);
      if (childEntry) this.#remove(child, childEntry);
    }
    this.#entries.delete(path);
    if (path !== '') this.#entries.get(parentPath(path))?.children?.delete(nameOf(path));
    const kind = entry.state.isDirectory ? 'unlinkDir' : 'unlink';
    const number = this.#tell(kind, path, undefined);
    if (number === INITIAL) return;
    // Deleted first: a key that is set again keeps its old place.
    this.#deletions.delete(path);
    this.#deletions.set(path, { kind, number, addedAt: entry.addedAt });
    this.#forgetDeletions();
  }

  #tell(kind: ChangeKind, path: string, state: EntryState | undefined): number {
    if (this.#isInitial) return INITIAL;
    const size = state && !state.isDirectory ? state.size : 0;
    return this.#emit({ kind, path, size, mtimeMs: state?.mtimeMs ?? 0 });
  }

  #forgetDeletions(): void {
    for (const [path, { number }] of this.#deletions) {
      if (this.#deletions.size <= this.#maxDeletions) return;
      this.#deletions.delete(path);
      this.#deletionsFrom = number + 1;
    }
  }
}

/** Whether two states are of one thing, rather than of two that followed each other. */
export function isSame(one: EntryState, other: EntryState): boolean {
  return one.inode === other.inode && one.bornMs === other.bornMs;
}

/** The path of the directory that a path is in. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}

/** The last part of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The path of a name in a directory. */
export function childPath(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}
