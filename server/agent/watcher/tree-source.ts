import { join } from 'node:path';
import { type Deferred, deferred } from '../../core/deferred.ts';
import { DomainError } from '../../core/domain-error.ts';
import { readState, toState } from './entry-state.ts';
import type { FileSource, OpenFileSource } from './file-source.ts';
import type { IgnoreMatcher } from './ignore-matcher.ts';
import type { EntryState } from './tree.ts';

export type TreeSourceOptions = {
  /** What is watched, in the agent's file system. */
  readonly directory: string;
  readonly matcher: IgnoreMatcher;
  readonly openSource: OpenFileSource;
  readonly maxEntries: number;
  /** Called for each event of the system. */
  readonly onSystemEvent: () => void;
  readonly onHint: (path: string, isWrite: boolean) => void;
  /** Called when a part of the tree cannot be watched, for want of inotify watches or otherwise. */
  readonly onTrouble: (error: DomainError) => void;
};

/** The states that a scan found, by path. */
export type FoundStates = ReadonlyMap<string, EntryState | undefined>;

/** What looks at a tree and watches it. Every scan begins anew, with watches that are surely alive. */
export class TreeSource {
  readonly #options: TreeSourceOptions;
  #source: FileSource | undefined;
  #isClosed = false;
  #isPartial = false;
  readonly #closed: Deferred<void> = deferred();

  constructor(options: TreeSourceOptions) {
    this.#options = options;
  }

  /** Whether inotify watches ran out since the last scan began. */
  get isPartial(): boolean {
    return this.#isPartial;
  }

  /** Looks at everything. What happens later gives a hint. Throws LIMIT_REACHED for too many entries. */
  async scan(): Promise<FoundStates> {
    const { directory, matcher, openSource, maxEntries, onSystemEvent, onHint } = this.#options;
    await this.#source?.close();
    const found = new Map<string, EntryState | undefined>();
    const tooMany = deferred();
    this.#isPartial = false;
    if (this.#isClosed) return found;
    this.#source = openSource({
      directory,
      isIgnored: (path, isDirectory) => matcher.matches(path, isDirectory),
      sink: {
        ...{ onEvent: onSystemEvent, onHint },
        onFound: (path, stats) => {
          found.set(path, stats ? toState(stats) : this.read(path));
          if (found.size > maxEntries) tooMany.resolve();
        },
        onError: (error) => this.#onError(error),
      },
    });
    await Promise.race([this.#source.ready, tooMany.promise, this.#closed.promise]);
    if (found.size > maxEntries) throw tooManyEntries(maxEntries);
    return found;
  }

  /** What a path is now. */
  read(path: string): EntryState | undefined {
    return readState(join(this.#options.directory, path));
  }

  /** Stops watching. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#closed.resolve();
    await this.#source?.close();
  }

  #onError(error: NodeJS.ErrnoException): void {
    if (this.#isClosed) return;
    if (error.code !== 'ENOSPC' && error.code !== 'EMFILE') {
      this.#options.onTrouble(
        new DomainError(
          'INTERNAL',
          `watching a part of the tree failed: ${error.code ?? 'unknown'}`,
        ),
      );
      return;
    }
    // One word for a whole tree of directories that find no watch.
    if (!this.#isPartial) this.#options.onTrouble(outOfWatches());
    this.#isPartial = true;
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
