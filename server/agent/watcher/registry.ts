import type { Clock } from '../../core/clock.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { isId, newId } from '../../core/id.ts';
import type { ProjectPaths } from '../../core/path-mapping.ts';
import type { Principal } from '../../core/principal.ts';
import { Quota } from '../../core/quota.ts';
import { RecentRequests } from '../../core/recent-requests.ts';
import type { WatcherEnd } from './events.ts';
import { WATCHER_LIMITS, type WatcherLimits } from './limits.ts';
import { checkWatcherLease, WatcherSession } from './session.ts';
import {
  checkContentBytes,
  checkIgnored,
  resolveTarget,
  type WatchTarget,
} from './watch-target.ts';
import type { OpenTree } from './watch-thread.ts';
import { WatcherLog } from './watcher-log.ts';

export type WatcherRegistryOptions = {
  readonly clock: Clock;
  /** Names this life of the agent. */
  readonly bootId: string;
  /** Earlier lives, whose watchers are lost. */
  readonly previousBootIds: readonly string[];
  readonly paths: ProjectPaths;
  readonly openTree: OpenTree;
  /** A watcher of this path has failed. */
  readonly onFailed?: (path: string) => void;
  readonly limits?: Partial<WatcherLimits>;
};

/** What a caller says about the watcher to create. */
export type CreateWatcherOptions = {
  /** Empty: every call creates. */
  readonly requestId: string;
  /** Empty: the project. */
  readonly path: string;
  readonly ignored: readonly string[];
  readonly gitignore: boolean;
  readonly includeContent: boolean;
  readonly maxContentBytes?: number;
  readonly leaseMs?: number;
};

/** A watcher's id begins with `wat` and this many random characters of its agent's boot id. */
const TAG_CHARS = 6;

const ENDS: Readonly<Record<WatcherEnd, string>> = {
  DESTROYED: 'was destroyed',
  ABANDONED: 'was ended, because nobody had read it for longer than its lease',
  FAILED: 'has failed',
};

/** The watchers of a sandbox, for one life of its agent. */
export class WatcherRegistry {
  readonly limits: WatcherLimits;
  readonly #options: WatcherRegistryOptions;
  /** Oldest first. */
  readonly #sessions = new Map<string, WatcherSession>();
  readonly #live: Quota;
  /** What gives the place of each watcher back. */
  readonly #releases = new Map<string, () => void>();
  readonly #streams: Quota;
  readonly #requests: RecentRequests<WatcherSession>;
  /** How watchers ended, the oldest first. */
  readonly #ended = new Map<string, WatcherEnd>();
  #isClosed = false;

  constructor(options: WatcherRegistryOptions) {
    this.#options = options;
    this.limits = { ...WATCHER_LIMITS, ...options.limits };
    const { liveWatchers, watcherStreams, requestKeptMs, requests } = this.limits;
    this.#live = new Quota(liveWatchers, 'watchers of a sandbox');
    this.#streams = new Quota(watcherStreams, 'streams of watchers of a sandbox');
    this.#requests = new RecentRequests({
      clock: options.clock,
      keptMs: requestKeptMs,
      limit: requests,
    });
  }

  /** Starts watching. A repeated `requestId` gives the same watcher. Throws NOT_FOUND, LIMIT_REACHED. */
  create(principal: Principal, options: CreateWatcherOptions): Promise<WatcherSession> {
    return this.#requests.run({ actor: principal, requestId: options.requestId }, () =>
      this.#create(options),
    );
  }

  /** The watcher of that id. Throws INVALID_ARGUMENT, LOST, DESTROYED, NOT_FOUND. */
  get(id: string): WatcherSession {
    checkId(id);
    const session = this.#sessions.get(id);
    if (session) return session;
    const end = this.#ended.get(id);
    if (end) throw new DomainError('DESTROYED', `watcher ${id} ${ENDS[end]}`);
    if (this.#options.previousBootIds.some((bootId) => tagOf(bootId) === tagOf(id))) {
      throw new DomainError(
        'LOST',
        `watcher ${id} was lost when the sandbox's agent ended; files are still there`,
      );
    }
    throw new DomainError('NOT_FOUND', `there is no watcher ${id}`, { field: 'watcherId' });
  }

  /** All watchers, oldest first. */
  list(): WatcherSession[] {
    return [...this.#sessions.values()];
  }

  /** Ends a watcher. Idempotent. */
  destroy(id: string): void {
    checkId(id);
    this.#end(id, 'DESTROYED');
  }

  /** Ends all watchers. Nothing can be created any more. */
  close(): void {
    this.#isClosed = true;
    for (const id of [...this.#sessions.keys()]) this.#end(id, 'DESTROYED');
  }

  async #create(options: CreateWatcherOptions): Promise<WatcherSession> {
    const { limits } = this;
    checkIgnored(options.ignored, limits);
    const maxContentBytes = checkContentBytes(options.maxContentBytes, limits);
    const leaseMs = checkWatcherLease(options.leaseMs ?? limits.watcherLeaseMs, limits);
    const release = this.#live.acquire();
    try {
      const target = await resolveTarget(options.path, this.#options.paths);
      if (this.#isClosed) throw new DomainError('SHUTTING_DOWN', 'the sandbox is ending');
      return await this.#start(target, { ...options, maxContentBytes, leaseMs, release });
    } catch (error) {
      release();
      throw error;
    }
  }

  async #start(
    { path, directory }: WatchTarget,
    options: CreateWatcherOptions & {
      readonly maxContentBytes: number;
      readonly leaseMs: number;
      readonly release: () => void;
    },
  ): Promise<WatcherSession> {
    const { clock, bootId, openTree } = this.#options;
    const { ignored, gitignore, includeContent, maxContentBytes, leaseMs, release } = options;
    const { loggedEvents, watchedEntries, rememberedDeletions } = this.limits;
    const id = `wat${tagOf(bootId)}${newId('wat').slice('wat'.length + TAG_CHARS)}`;
    const session = new WatcherSession({
      facts: {
        ...{ id, incarnation: bootId, path, ignored, gitignore, includeContent, maxContentBytes },
        createdAt: clock.now(),
      },
      log: new WatcherLog({
        ...{ path, directory, limit: loggedEvents },
        maxContentBytes: includeContent ? maxContentBytes : undefined,
      }),
      ...{ clock, limits: this.limits, streams: this.#streams },
      onAbandoned: () => this.#end(id, 'ABANDONED'),
    });
    const tree = await openTree(
      {
        ...{ apiPath: path, directory, ignored, gitignore },
        maxEntries: watchedEntries,
        maxDeletions: rememberedDeletions,
      },
      {
        onEvents: (_from, events) => session.add(events),
        onFailed: () => {
          this.#end(id, 'FAILED');
          this.#options.onFailed?.(path);
        },
      },
    );
    if (this.#isClosed) {
      tree.close();
      throw new DomainError('SHUTTING_DOWN', 'the sandbox is ending');
    }
    this.#sessions.set(id, session);
    this.#releases.set(id, release);
    session.start(tree, leaseMs);
    return session;
  }

  #end(id: string, why: WatcherEnd): void {
    const session = this.#sessions.get(id);
    if (!session) return;
    this.#sessions.delete(id);
    this.#releases.get(id)?.();
    this.#releases.delete(id);
    this.#ended.set(id, why);
    const [oldest] = this.#ended.keys();
    if (this.#ended.size > this.limits.endedWatchers && oldest) this.#ended.delete(oldest);
    session.end(why);
  }
}

function checkId(id: string): void {
  if (!isId('wat', id)) throw invalidArgument('watcherId', 'is not the id of a watcher');
}

/** The random characters that a boot id shares with the ids of its watchers. */
function tagOf(id: string): string {
  return id.slice('wat'.length, 'wat'.length + TAG_CHARS);
}
