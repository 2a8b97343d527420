import type { Clock, Timer } from '../../core/clock.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { newId } from '../../core/id.ts';
import type { Actor } from '../../core/principal.ts';
import type { Quota } from '../../core/quota.ts';
import type { GapReason, TreeEvent, WatcherEnd } from './events.ts';
import type { WatcherLimits } from './limits.ts';
import { ReaderStream } from './reader-stream.ts';
import type { TreeHandle } from './watch-thread.ts';
import type { WatcherLog } from './watcher-log.ts';

/** What does not change about a watcher. */
export type WatcherFacts = {
  readonly id: string;
  readonly incarnation: string;
  /** As the API spells it. */
  readonly path: string;
  readonly ignored: readonly string[];
  readonly gitignore: boolean;
  readonly includeContent: boolean;
  readonly maxContentBytes: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
};

/** Where and how a reader wants to read. */
export type AttachOptions = {
  readonly actor: Actor;
  /** Empty for a new reader. */
  readonly readerId: string;
  /** Number of the first event wanted; absent for the oldest held. */
  readonly cursor?: number;
  /** The incarnation of `cursor`; empty if not known. */
  readonly incarnation: string;
  readonly leaseMs?: number;
  /** Cuts the connection. */
  readonly disconnect: () => void;
};

export type WatcherSessionOptions = {
  readonly facts: WatcherFacts;
  readonly log: WatcherLog;
  readonly clock: Clock;
  readonly limits: WatcherLimits;
  readonly streams: Quota;
  /** Called once, when nobody has read it for longer than the lease. */
  readonly onAbandoned: () => void;
};

type Reader = { readonly subject: string; stream: ReaderStream | undefined };

/** A watcher with its log and its readers. It outlives them for the time of a lease. */
export class WatcherSession {
  readonly facts: WatcherFacts;
  readonly #options: WatcherSessionOptions;
  readonly #log: WatcherLog;
  /** In the order of their last attach. */
  readonly #readers = new Map<string, Reader>();
  /** Until when somebody may come back, by the monotonic clock. */
  #keptUntil = 0;
  #leaseTimer: Timer | undefined;

  constructor(options: WatcherSessionOptions) {
    this.#options = options;
    this.facts = options.facts;
    this.#log = options.log;
  }

  /** Number of its next event. */
  get cursor(): number {
    return this.#log.end;
  }

  /** Takes the tree that is watched, and waits that long for a first reader. */
  start(tree: TreeHandle, leaseMs: number): void {
    this.#log.connect(tree);
    this.#keep(leaseMs);
  }

  /** Takes events. */
  add(events: readonly TreeEvent[]): void {
    this.#log.add(events);
    this.#wake();
  }

  /** Ends it: every stream reads to the end of the log and ends. Idempotent. */
  end(why: WatcherEnd): void {
    this.#leaseTimer?.clear();
    this.#log.finish(why);
    this.#wake();
  }

  /** Attaches a reader. Its earlier stream ends. Throws CURSOR_OUT_OF_RANGE, LIMIT_REACHED. */
  attach(options: AttachOptions): ReaderStream {
    const { clock, limits, streams } = this.#options;
    const { incarnation } = this.facts;
    const leaseMs = checkWatcherLease(options.leaseMs ?? limits.watcherLeaseMs, limits);
    const cursor = options.cursor ?? this.#log.start;
    if (cursor > this.#log.end) throw beyondEnd(cursor, this.#log.end);
    const known = this.#find(options);
    known?.reader.stream?.close(
      new DomainError('CONFLICT', 'the reader attached again on another connection'),
    );
    const release = streams.acquire();
    const { id, reader } = known ?? this.#newReader(options.actor);
    this.#readers.delete(id);
    this.#readers.set(id, reader);
    const stream = new ReaderStream({
      ...{ log: this.#log, clock, limits, cursor, incarnation, readerId: id },
      gapReason: blameFor(options, known !== undefined),
      onClosed: () => {
        release();
        if (reader.stream !== stream) return;
        reader.stream = undefined;
        this.#keep(leaseMs);
      },
      disconnect: options.disconnect,
    });
    reader.stream = stream;
    this.#leaseTimer?.clear();
    return stream;
  }

  /** Waits for a reader, from now on for that long at least. */
  #keep(leaseMs: number): void {
    const { clock, onAbandoned } = this.#options;
    const now = clock.monotonic();
    this.#keptUntil = Math.max(this.#keptUntil, now + leaseMs);
    this.#leaseTimer?.clear();
    if (this.#log.ended || [...this.#readers.values()].some(({ stream }) => stream)) return;
    this.#leaseTimer = clock.setTimer(onAbandoned, this.#keptUntil - now);
  }

  #wake(): void {
    for (const { stream } of this.#readers.values()) stream?.wake();
  }

  #find({ readerId, actor }: AttachOptions): { id: string; reader: Reader } | undefined {
    const reader = this.#readers.get(readerId);
    if (!reader || !actor.subjects.includes(reader.subject)) return undefined;
    return { id: readerId, reader };
  }

  #newReader({ subject }: Actor): { id: string; reader: Reader } {
    const { watcherReaders } = this.#options.limits;
    if (this.#readers.size >= watcherReaders) {
      const absent = [...this.#readers].find(([, { stream }]) => !stream);
      if (!absent)
        throw new DomainError('LIMIT_REACHED', `the limit of ${watcherReaders} readers is reached`);
      this.#readers.delete(absent[0]);
    }
    return { id: newId('rdr'), reader: { subject, stream: undefined } };
  }
}

/** Returns a lease that may be had. Throws INVALID_ARGUMENT. */
export function checkWatcherLease(leaseMs: number, { maxWatcherLeaseMs }: WatcherLimits): number {
  if (leaseMs >= 0 && leaseMs <= maxWatcherLeaseMs) return leaseMs;
  throw invalidArgument('lease', `must be 0 to ${maxWatcherLeaseMs / 1000} seconds`);
}

/** What a gap is blamed on that a reader finds when it comes. */
function blameFor({ cursor }: AttachOptions, isKnown: boolean): GapReason {
  if (cursor === undefined) return 'EVICTED';
  return isKnown ? 'SLOW_READER' : 'LEASE_EXPIRED';
}

function beyondEnd(cursor: number, end: number): DomainError {
  return new DomainError(
    'CURSOR_OUT_OF_RANGE',
    `cursor: ${cursor} lies beyond the end of the events, ${end}`,
    { field: 'cursor' },
  );
}
