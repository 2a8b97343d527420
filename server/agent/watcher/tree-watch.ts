import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock, Timer } from '../../core/clock.ts';
import { deferred } from '../../core/deferred.ts';
import { DomainError } from '../../core/domain-error.ts';
import { DirectoryWatches, outOfWatches, tooManyEntries } from './directory-watches.ts';
import { DirtyPaths } from './dirty-paths.ts';
import type { Difference, TreeEvent } from './events.ts';
import type { IgnoreMatcher } from './ignore-matcher.ts';
import { RecentWrites } from './recent-writes.ts';
import { childPath, type EntryState, isSame, parentPath, WatchedTree } from './tree.ts';

export type TreeWatchOptions = {
  /** What is watched, in the agent's file system. */
  readonly directory: string;
  readonly matcher: IgnoreMatcher;
  readonly clock: Clock;
  readonly maxEntries: number;
  readonly maxDeletions: number;
  /** Called for each event of the system. */
  readonly onSystemEvent: () => void;
  /** Takes events, the first of number `from`. */
  readonly emit: (from: number, events: readonly TreeEvent[]) => void;
  /** Called when it cannot go on, after an event that says why. */
  readonly onFailed: () => void;
};

/** Paths that are looked at before the loop comes round, so that the system's events are taken. */
const TURN_PATHS = 256;
/** The pause after a scan: so many times what the scan took, within bounds. */
const SCAN_PAUSE = { factor: 2, minMs: 1000, maxMs: 5000 };
/** How long a hint may take that explains what a scan found: then nothing was dropped. */
const EXPLANATION_MS = 250;
/** How often a tree is scanned of which a part cannot be watched. */
const POLL_MS = 5000;

/** Events may have been dropped, or the rules of what to ignore changed. */
type ScanReason = 'overflow' | 'rules';

/**
 * Watches one tree. Its source says where to look; what happened is the difference between what a
 * path was and what it is. So a burst becomes one change, and events that were dropped can be made
 * up for by looking everywhere.
 */
export class TreeWatch {
  readonly #options: TreeWatchOptions;
  readonly #tree: WatchedTree;
  readonly #watches: DirectoryWatches;
  readonly #dirty: DirtyPaths;
  readonly #recentWrites: RecentWrites;
  /** Number of the next event. */
  #end = 0;
  #events: TreeEvent[] = [];
  #isOpen = false;
  #isClosed = false;
  #isFlushing = false;
  #scanFor: ScanReason | undefined;
  #isScanning = false;
  #scanNotBefore = 0;
  /** Whether it was told that inotify watches have run out. */
  #isPartialTold = false;
  #isPolling = false;
  readonly #timers = new Set<Timer>();
  readonly #closed = deferred();

  constructor(options: TreeWatchOptions) {
    const { clock, maxDeletions } = options;
    this.#options = options;
    this.#tree = new WatchedTree({
      maxDeletions,
      emit: (change) => {
        if (change.kind === 'unlinkDir') this.#watches.unwatch(change.path);
        return this.#push({ type: 'change', ...change });
      },
    });
    this.#watches = new DirectoryWatches({
      ...options,
      onHint: (path, isWrite) => {
        if (!this.#isClosed) this.#dirty.add(path, isWrite && this.#recentWrites.has(path));
      },
      onTrouble: (error) => this.#onTrouble(error),
    });
    this.#dirty = new DirtyPaths(clock, () => void this.#flush());
    this.#recentWrites = new RecentWrites(clock);
  }

  /** Resolves when every later change will be told. Throws LIMIT_REACHED. */
  async open(): Promise<void> {
    try {
      await this.#watches.scan((path, state) => this.#tree.put(path, state));
      if (this.#watches.isPartial) throw outOfWatches();
    } catch (error) {
      this.close();
      throw error;
    }
    this.#tree.start();
    this.#isOpen = true;
    this.#dirty.arm();
  }

  /** Stops watching. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#closed.resolve();
    for (const timer of this.#timers) timer.clear();
    this.#dirty.clear();
    this.#watches.close();
  }

  /** Events may have been dropped: everything is looked at. */
  suspect(): void {
    this.#scanSoon('overflow');
  }

  /** The last change of each path since a number. */
  difference(since: number, limit: number): Difference {
    return this.#tree.difference(since, this.#end, limit);
  }

  #push(event: TreeEvent): number {
    this.#events.push(event);
    this.#end += 1;
    return this.#end - 1;
  }

  #emit(): void {
    const events = this.#events.splice(0);
    if (events.length === 0 || this.#isClosed) return;
    this.#options.emit(this.#end - events.length, events);
  }

  /** Looks at the paths that are due. */
  async #flush(): Promise<void> {
    if (this.#isFlushing || !this.#isOpen) return;
    this.#isFlushing = true;
    for (;;) {
      const due = this.#dirty.take(TURN_PATHS);
      if (due.length === 0 || this.#isClosed) break;
      for (const { path, wasAbsent, isChanged } of due) {
        const state = this.#watches.read(path);
        if (!state && !wasAbsent && this.#tree.get(path)) this.#dirty.addAbsent(path);
        else this.#reconcile(path, state, isChanged);
      }
      this.#emit();
      await nextTurn();
    }
    this.#isFlushing = false;
    if (!this.#isClosed) this.#dirty.arm();
  }

  /** Takes in what a path is now. */
  #reconcile(path: string, state: EntryState | undefined, isChanged = false): void {
    const known = this.#tree.get(path);
    const { matcher } = this.#options;
    if (!known && (!state || matcher.matches(path, state.isDirectory))) return;
    if (state && !this.#isParentKnown(path)) return;
    if (matcher.isRuleFile(path) && (isChanged || this.#tree.differs(path, state))) {
      matcher.forgetRuleFiles();
      this.#scanSoon('rules');
    }
    this.#take(path, state, isChanged);
    this.#checkSize();
  }

  /** Takes in what a path is now; its directory is known. */
  #take(path: string, state: EntryState | undefined, isChanged = false): void {
    const known = this.#tree.get(path);
    const isSameThing = state !== undefined && known !== undefined && isSame(known, state);
    this.#tree.put(path, state, { isChanged });
    if (!state) return;
    if (!state.isDirectory) {
      this.#recentWrites.note(path, state.mtimeMs);
      // A file is watched by its directory, unless it is all that is watched.
      if (path === '' && !isSameThing) this.#watches.watch(path);
      return;
    }
    if (isSameThing && this.#watches.has(path)) return;
    // What was in the one before it, and what was put into it before anybody watched it.
    for (const child of this.#tree.below(path)) this.#dirty.add(child, false);
    for (const name of this.#watches.watch(path)) this.#dirty.add(childPath(path, name), false);
  }

  /** Takes in the directories of a path that are not known yet. False if one is gone or left out. */
  #isParentKnown(path: string): boolean {
    if (path === '') return true;
    const parent = parentPath(path);
    if (!this.#tree.get(parent)?.isDirectory) this.#reconcile(parent, this.#watches.read(parent));
    return this.#tree.get(parent)?.isDirectory === true;
  }

  #scanSoon(why: ScanReason): void {
    if (!this.#isOpen || this.#isClosed) return;
    if (this.#scanFor !== 'overflow') this.#scanFor = why;
    if (!this.#isScanning) void this.#scanWhileDue();
  }

  async #scanWhileDue(): Promise<void> {
    this.#isScanning = true;
    const { clock } = this.#options;
    while (this.#scanFor && !this.#isClosed) {
      await this.#wait(this.#scanNotBefore - clock.monotonic());
      const why = this.#scanFor;
      this.#scanFor = undefined;
      const startedAt = clock.monotonic();
      try {
        if (!this.#isClosed) await this.#compare(why);
      } catch (error) {
        this.#fail(error);
      }
      const now = clock.monotonic();
      const pauseMs = Math.min(SCAN_PAUSE.factor * (now - startedAt), SCAN_PAUSE.maxMs);
      this.#scanNotBefore = now + Math.max(pauseMs, SCAN_PAUSE.minMs);
    }
    this.#isScanning = false;
  }

  /** Compares the whole tree with what is known of it, and tells the difference. */
  async #compare(why: ScanReason): Promise<void> {
    const found = new Map<string, EntryState>();
    await this.#watches.scan((path, state) => found.set(path, state));
    if (!this.#watches.isPartial) this.#isPartialTold = false;
    const differing: string[] = [];
    const paths = new Set([...found.keys(), ...this.#tree.paths()]);
    for (const [index, path] of [...paths].entries()) {
      // What happened to it since it was found, a hint tells.
      if (this.#tree.differs(path, found.get(path) ?? this.#current(path, why)))
        differing.push(path);
      if (index % TURN_PATHS === 0) await nextTurn();
    }
    if (why === 'overflow' && differing.length > 0) await this.#wait(EXPLANATION_MS);
    if (this.#isClosed) return;
    const isMissed = (path: string) =>
      !this.#dirty.has(path) && this.#tree.differs(path, this.#current(path, why));
    const missed = differing.filter(isMissed).sort();
    if (missed.length > 0 && why === 'overflow') this.#push({ type: 'overflow' });
    for (const path of missed) {
      const state = this.#current(path, why);
      if (!state || this.#isParentKnown(path)) this.#take(path, state);
    }
    this.#checkSize();
    this.#emit();
  }

  /** What a path is now. Nothing, where the new rules leave it or one of its directories out. */
  #current(path: string, why: ScanReason): EntryState | undefined {
    const state = this.#watches.read(path);
    if (why === 'overflow' || !state) return state;
    const { matcher } = this.#options;
    for (let directory = parentPath(path); directory !== ''; directory = parentPath(directory))
      if (matcher.matches(directory, true)) return undefined;
    return matcher.matches(path, state.isDirectory) ? undefined : state;
  }

  #onTrouble(error: DomainError): void {
    if (!this.#isOpen || this.#isClosed) return;
    const isPartial = error.reason === 'LIMIT_REACHED';
    if (isPartial) this.#pollSoon();
    if (isPartial && this.#isPartialTold) return;
    this.#isPartialTold ||= isPartial;
    this.#push({ type: 'trouble', reason: error.reason, message: error.message });
    this.#emit();
  }

  /** What cannot be watched is looked at again and again, until it can. */
  #pollSoon(): void {
    if (this.#isPolling) return;
    this.#isPolling = true;
    void this.#wait(POLL_MS).then(() => {
      this.#isPolling = false;
      this.suspect();
    });
  }

  #checkSize(): void {
    const { maxEntries } = this.#options;
    if (this.#tree.size > maxEntries) this.#fail(tooManyEntries(maxEntries));
  }

  #fail(error: unknown): void {
    if (this.#isClosed) return;
    const isExpected = error instanceof DomainError;
    const { reason, message } = isExpected ? error : new DomainError('INTERNAL', 'watching failed');
    this.#push({ type: 'trouble', reason, message });
    this.#emit();
    this.close();
    this.#options.onFailed();
  }

  /** Resolves after a time, or when this is closed. */
  async #wait(delayMs: number): Promise<void> {
    if (delayMs <= 0) return;
    const elapsed = deferred();
    const timer = this.#options.clock.setTimer(elapsed.resolve, delayMs);
    this.#timers.add(timer);
    await Promise.race([elapsed.promise, this.#closed.promise]);
    this.#timers.delete(timer);
  }
}
