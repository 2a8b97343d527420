import { type FSWatcher, readdirSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DomainError } from '../../core/domain-error.ts';
import { readState } from './entry-state.ts';
import type { IgnoreMatcher } from './ignore-matcher.ts';
import { childPath, type EntryState } from './tree.ts';

export type DirectoryWatchesOptions = {
  /** What is watched, in the agent's file system. */
  readonly directory: string;
  readonly matcher: IgnoreMatcher;
  readonly maxEntries: number;
  /** The system told of something; called for each of its events, before the hint that follows from it. */
  readonly onSystemEvent: () => void;
  /** Something happened to a path; what, its state says. `isWrite`: it may be the content only. */
  readonly onHint: (path: string, isWrite: boolean) => void;
  /** Called when a directory cannot be watched, for want of inotify watches or otherwise. */
  readonly onTrouble: (error: DomainError) => void;
};

/** Names that are looked at before the loop comes round, so that the system's events are taken. */
const TURN_NAMES = 512;

/**
 * Watches the directories of a tree, one inotify watch each, and lists them. It tells where to look,
 * not what happened. Paths are below the root; the root is the empty one, and may be a file.
 *
 * A directory is watched before it is listed, so nothing happens in between unnoticed.
 */
export class DirectoryWatches {
  readonly #options: DirectoryWatchesOptions;
  /** What stands before a path in the agent's file system. */
  readonly #prefix: string;
  readonly #watches = new Map<string, FSWatcher>();
  /** Tells when the root itself comes back. */
  #aboveRoot: FSWatcher | undefined;
  #isClosed = false;
  #isPartial = false;

  constructor(options: DirectoryWatchesOptions) {
    this.#options = options;
    this.#prefix = options.directory === '/' ? '/' : `${options.directory}/`;
  }

  /** Whether a directory could not be watched since the last scan began. */
  get isPartial(): boolean {
    return this.#isPartial;
  }

  /** Whether a directory is watched. */
  has(path: string): boolean {
    return this.#watches.has(path);
  }

  /**
   * Watches everything anew, with watches that are surely alive, and tells what is there, a directory
   * before what is in it. Throws LIMIT_REACHED.
   */
  async scan(onFound: (path: string, state: EntryState) => void): Promise<void> {
    const { matcher, maxEntries } = this.#options;
    const before = new Map(this.#watches);
    this.#isPartial = false;
    this.#watchAboveRoot();
    const root = this.read('');
    if (root) onFound('', root);
    const open = [''];
    let found = 1;
    let looked = 0;
    for (let path = open.pop(); path !== undefined && !this.#isClosed; path = open.pop()) {
      for (const name of this.watch(path)) {
        const child = childPath(path, name);
        looked += 1;
        if (looked % TURN_NAMES === 0) await nextTurn();
        // Most of what is left out needs no look at the file system.
        const state = matcher.matches(child, undefined) ? undefined : this.read(child);
        if (!state || matcher.matches(child, state.isDirectory)) continue;
        onFound(child, state);
        if (state.isDirectory) open.push(child);
        found += 1;
        if (found > maxEntries) throw tooManyEntries(maxEntries);
      }
    }
    // Not those of directories that came while this went on: somebody else has watched them.
    for (const [path, watcher] of before)
      if (this.#watches.get(path) === watcher) this.unwatch(path);
  }

  /** Watches a directory, in place of one of the same path before, and returns the names in it. */
  watch(path: string): readonly string[] {
    if (this.#isClosed) return [];
    const directory = this.#toFile(path);
    const watcher = this.#open(directory, (name, isWrite) => {
      // A directory tells of itself by its own name, which a child may have too.
      if (name === undefined || name === basename(directory)) this.#options.onHint(path, isWrite);
      if (name !== undefined) this.#options.onHint(childPath(path, name), isWrite);
    });
    // The one before last, so that nothing happens in between unnoticed.
    this.unwatch(path);
    if (watcher) this.#watches.set(path, watcher);
    try {
      return readdirSync(directory);
    } catch {
      // It is gone again, may not be read, or is the root and a file.
      return [];
    }
  }

  /** Watches a directory no longer. */
  unwatch(path: string): void {
    this.#watches.get(path)?.close();
    this.#watches.delete(path);
  }

  /** What a path is now. */
  read(path: string): EntryState | undefined {
    return readState(this.#toFile(path));
  }

  /** Stops watching. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#closeAll();
  }

  #watchAboveRoot(): void {
    const { directory, onHint } = this.#options;
    if (directory === '/') return;
    const before = this.#aboveRoot;
    this.#aboveRoot = this.#open(dirname(directory), (name, isWrite) => {
      if (name === basename(directory)) onHint('', isWrite);
    });
    before?.close();
  }

  #open(
    directory: string,
    onEvent: (name: string | undefined, isWrite: boolean) => void,
  ): FSWatcher | undefined {
    try {
      const watcher = watch(directory, (type, name) => {
        this.#options.onSystemEvent();
        onEvent(name ?? undefined, type === 'change');
      });
      // What ends a watch also tells of the directory's own end.
      watcher.on('error', () => {});
      return watcher;
    } catch (error) {
      this.#onError(error);
      return undefined;
    }
  }

  #onError(error: unknown): void {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOSPC' || code === 'EMFILE' || code === 'ENFILE') {
      // One word for a whole tree of directories that find no watch.
      if (!this.#isPartial) this.#options.onTrouble(outOfWatches());
      this.#isPartial = true;
    } else if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EACCES') {
      const problem = `watching a directory failed: ${String(code ?? 'unknown')}`;
      this.#options.onTrouble(new DomainError('INTERNAL', problem));
    }
  }

  #closeAll(): void {
    for (const watcher of this.#watches.values()) watcher.close();
    this.#watches.clear();
    this.#aboveRoot?.close();
    this.#aboveRoot = undefined;
  }

  #toFile(path: string): string {
    // Not `join`, which looks for dots in every path: that took a sixth of a scan.
    return path === '' ? this.#options.directory : this.#prefix + path;
  }
}

/** The error for a tree with more files than a watcher takes. */
export function tooManyEntries(limit: number): DomainError {
  return new DomainError(
    'LIMIT_REACHED',
    `path: it has more than ${limit} files and directories; leave some out with \`ignored\` or \`gitignore\`, or watch a directory further down`,
    { field: 'path' },
  );
}

/** The error for a machine without free inotify watches. */
export function outOfWatches(): DomainError {
  return new DomainError(
    'LIMIT_REACHED',
    'path: the machine has no inotify watch left for every directory; leave some out with `ignored` or `gitignore`, or have its administrator raise fs.inotify.max_user_watches (and max_user_instances) with sysctl',
    { field: 'path' },
  );
}
