/** Every bound of watchers, in one place. Times are in milliseconds. */
export type WatcherLimits = {
  /** Watchers of a sandbox. More are refused. */
  readonly liveWatchers: number;
  /** Streams of all watchers. More are refused. */
  readonly watcherStreams: number;
  /** Files and directories of one watcher. A larger tree is refused; one that grows larger ends it. */
  readonly watchedEntries: number;
  /** Events kept of a watcher. A reader from further back gets a gap and a difference. */
  readonly loggedEvents: number;
  /** Deletions remembered for such differences. The oldest is forgotten, and the gap says so. */
  readonly rememberedDeletions: number;
  /** Changes in one page of a difference. */
  readonly differenceChanges: number;
  /** Patterns in `ignored`. */
  readonly ignoredPatterns: number;
  /** Characters of such a pattern. */
  readonly ignoredPatternChars: number;
  /** Content of one change, if the watcher did not say, in bytes. */
  readonly contentBytes: number;
  /** The most that a watcher may ask for, in bytes. */
  readonly maxContentBytes: number;
  /** Content in one message, in bytes. The rest of the message stays below 2^16 − 32. */
  readonly contentPartBytes: number;
  /** How long a stream may be idle before it says that it lives. */
  readonly watcherKeepAliveMs: number;
  /** A connection that takes nothing for this long is closed. */
  readonly watcherStallMs: number;
  /** How long a watcher without a reader lives on, if nobody said. */
  readonly watcherLeaseMs: number;
  /** The longest such time. */
  readonly maxWatcherLeaseMs: number;
  /** Readers remembered per watcher. The longest absent one is forgotten when there are more. */
  readonly watcherReaders: number;
  /** Watchers that have ended and whose end is remembered. */
  readonly endedWatchers: number;
  /** How long a `request_id` is remembered. */
  readonly requestKeptMs: number;
  /** Request ids remembered. More creations that carry one are refused. */
  readonly requests: number;
};

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** The bounds that are in force unless a test says otherwise. */
export const WATCHER_LIMITS: WatcherLimits = {
  liveWatchers: 32,
  watcherStreams: 256,
  watchedEntries: 100_000,
  loggedEvents: 10_000,
  rememberedDeletions: 100_000,
  differenceChanges: 5_000,
  ignoredPatterns: 256,
  ignoredPatternChars: 1024,
  contentBytes: MIB,
  maxContentBytes: 16 * MIB,
  contentPartBytes: 60 * KIB,
  watcherKeepAliveMs: 5 * SECOND,
  watcherStallMs: 30 * SECOND,
  watcherLeaseMs: 30 * SECOND,
  maxWatcherLeaseMs: 10 * MINUTE,
  watcherReaders: 256,
  endedWatchers: 256,
  requestKeptMs: 10 * MINUTE,
  requests: 10_000,
};
