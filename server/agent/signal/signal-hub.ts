import type { Clock } from '../../core/clock.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import type { Logger } from '../../core/log.ts';
import type { Actor } from '../../core/principal.ts';
import { Quota } from '../../core/quota.ts';
import { RateLimit } from '../../core/rate-limit.ts';
import { RecentRequests } from '../../core/recent-requests.ts';
import { BoxHealth, type BoxHealthOptions } from './box-health.ts';
import { checkSignal } from './check-signal.ts';
import type { EmittedSignal, OpenPort } from './events.ts';
import { SIGNAL_LIMITS, type SignalLimits } from './limits.ts';
import type { SeenPort } from './port-scanner.ts';
import { PortTable } from './port-table.ts';
import { PortWatch } from './port-watch.ts';
import { SignalReaders } from './reader-table.ts';
import { SignalLog } from './signal-log.ts';
import { type SignalEntry, SignalStream } from './signal-stream.ts';

/** What a hub sees of the system it runs on. */
export type SignalSenses = {
  /** The ports that are open. */
  readonly scan: () => Promise<readonly SeenPort[]>;
  /** A text that changes with the number of sockets, or undefined. */
  readonly count: () => string | undefined;
} & Pick<BoxHealthOptions, 'diskRoom' | 'memoryKills'>;

export type SignalHubOptions = {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Names this life of the agent. */
  readonly bootId: string;
  readonly senses: SignalSenses;
  readonly limits?: Partial<SignalLimits>;
};

/** Where a reader wants to read. */
export type AttachSignalsOptions = {
  readonly actor: Actor;
  /** Absent: what comes from now on. */
  readonly cursor?: number;
  /** The incarnation of `cursor`; empty if not known. */
  readonly incarnation: string;
  /** Empty for a new reader. */
  readonly readerId: string;
  readonly leaseMs?: number;
  readonly wantsPorts: boolean;
};

/** Takes note of failures that readers shall hear of. For the agent's own parts. */
export interface FailureSink {
  /** Tells all readers that something went wrong: what, for people, and where. */
  raiseError(failure: { readonly message: string; readonly source: string }): void;
}

/** What one entry of the log takes in memory beside its texts, roughly. */
const ENTRY_BYTES = 128;

/** The signals of a sandbox, for one life of its agent. Ports are looked for while somebody is interested. */
export class SignalHub implements FailureSink {
  readonly limits: SignalLimits;
  readonly #clock: Clock;
  readonly #bootId: string;
  readonly #log: SignalLog<SignalEntry>;
  readonly #table: PortTable;
  readonly #watch: PortWatch;
  readonly #health: BoxHealth;
  readonly #readers: SignalReaders;
  readonly #streams: Quota;
  readonly #emissions: RateLimit;
  readonly #requests: RecentRequests<void>;
  /** Attached and leased readers. */
  #interested = 0;
  /** Whether ports were looked for before, so that somebody may know of them. */
  #wasWatched = false;

  constructor({ clock, logger, bootId, senses, limits: changed }: SignalHubOptions) {
    const limits = { ...SIGNAL_LIMITS, ...changed };
    this.limits = limits;
    this.#clock = clock;
    this.#bootId = bootId;
    this.#log = new SignalLog(limits, bytesOf);
    this.#table = new PortTable({
      ...{ clock, limits },
      onChange: (change, port) => this.#push({ type: 'port', change, port }),
      onFull: () => {
        const message = `more than ${limits.openPorts} ports are open; the others are not told`;
        this.raiseError({ message, source: 'ports' });
      },
    });
    const onFailed = (error: unknown) => logger.warn('ports cannot be read', { error });
    const { scan, count, diskRoom, memoryKills } = senses;
    this.#watch = new PortWatch({ clock, limits, table: this.#table, scan, count, onFailed });
    const raise = (failure: Parameters<FailureSink['raiseError']>[0]) => this.raiseError(failure);
    this.#health = new BoxHealth({ clock, limits, diskRoom, memoryKills, raise });
    this.#readers = new SignalReaders({ clock, limits });
    this.#streams = new Quota(limits.signalStreams, 'signal streams of a sandbox');
    const { emitBurst: burst, emitsPerSecond: perSecond, requestKeptMs: keptMs } = limits;
    this.#emissions = new RateLimit({ burst, perSecond, maxKeys: 4, clock });
    this.#requests = new RecentRequests({ clock, keptMs, limit: limits.requests });
  }

  /** A terminal or command was active. */
  readonly onActivity = (): void => {
    if (this.#interested > 0) this.#watch.wake();
  };

  raiseError({ message, source }: { readonly message: string; readonly source: string }): void {
    this.#push({ type: 'error', message, source });
  }

  /** The ports that are open now. */
  async ports(): Promise<OpenPort[]> {
    await this.#watch.scan();
    return this.#table.list();
  }

  /**
   * Tells a program's signal to all readers. A repeated `requestId` tells it once. Throws
   * INVALID_ARGUMENT, RATE_LIMITED, LIMIT_REACHED.
   */
  emit(actor: Actor, requestId: string, signal: EmittedSignal): Promise<void> {
    checkSignal(signal);
    return this.#requests.run({ actor, requestId }, async () => this.#emit(signal, 'client'));
  }

  /** The same for a program in the box, which uses up nothing of what clients may emit. */
  async emitFromBox(signal: EmittedSignal): Promise<void> {
    checkSignal(signal);
    this.#emit(signal, 'box');
  }

  /** Attaches a reader. Its earlier stream ends. Throws INVALID_ARGUMENT, CURSOR_OUT_OF_RANGE, LIMIT_REACHED. */
  async attach(options: AttachSignalsOptions): Promise<SignalStream> {
    const { cursor } = options;
    const leaseMs = this.#checkLease(options.leaseMs ?? this.limits.signalLeaseMs);
    const isForeign = options.incarnation !== '' && options.incarnation !== this.#bootId;
    if (cursor !== undefined && !isForeign) this.#checkCursor(cursor);
    const wasWatching = this.#watch.isRunning;
    const ignore = this.#watchPorts();
    try {
      // Its list of ports is that of this moment.
      if (!wasWatching || cursor === undefined) await this.#watch.scan();
      return this.#open({ ...options, leaseMs, isForeign });
    } finally {
      // The reader sees to it by now.
      ignore();
    }
  }

  /** Ends all streams, and looks for nothing any more. */
  close(): void {
    this.#readers.close();
  }

  #open(
    options: AttachSignalsOptions & { readonly leaseMs: number; readonly isForeign: boolean },
  ): SignalStream {
    const { actor, readerId, leaseMs, isForeign, cursor } = options;
    const log = this.#log;
    const reader = this.#readers.open(actor, readerId);
    const earlier = reader.stream;
    reader.stream = undefined;
    earlier?.close(new DomainError('CONFLICT', 'the reader attached again on another connection'));
    const release = this.#acquireStream(() => reader.release());
    reader.hold(this.#watchPorts());
    const stream = new SignalStream({
      ...{ reader, log, clock: this.#clock, limits: this.limits, incarnation: this.#bootId },
      ports: () => this.#table.list(),
      cursor: isForeign ? log.start : (cursor ?? log.end),
      ...(isForeign && { foreignCursor: cursor ?? 0 }),
      wantsPorts: cursor === undefined || options.wantsPorts,
      onClosed: () => {
        release();
        if (reader.stream === stream) reader.lease(leaseMs);
      },
    });
    reader.stream = stream;
    return stream;
  }

  #acquireStream(onRefused: () => void): () => void {
    try {
      return this.#streams.acquire();
    } catch (error) {
      onRefused();
      throw error;
    }
  }

  #emit(signal: EmittedSignal, origin: 'box' | 'client'): void {
    const waitMs = this.#emissions.take(origin);
    if (waitMs > 0) {
      const { emitsPerSecond } = this.limits;
      throw new DomainError('RATE_LIMITED', `more than ${emitsPerSecond} signals in a second`, {
        retryAfterMs: waitMs,
      });
    }
    if (signal.type === 'port') this.#table.announce(signal.port, signal.change);
    else this.#push(signal);
  }

  /** Has ports looked for until the returned function is called. */
  #watchPorts(): () => void {
    this.#interested += 1;
    if (this.#interested === 1) {
      // What opened and closed since the last reader left was seen by nobody.
      if (this.#wasWatched) this.#push({ type: 'unwatched' });
      this.#wasWatched = true;
      this.#watch.start();
      this.#health.start();
    }
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#interested -= 1;
      if (this.#interested > 0) return;
      this.#watch.stop();
      this.#health.stop();
    };
  }

  #push(entry: SignalEntry): void {
    this.#log.push(entry);
    this.#readers.wake();
  }

  #checkLease(leaseMs: number): number {
    const { maxSignalLeaseMs } = this.limits;
    if (leaseMs >= 0 && leaseMs <= maxSignalLeaseMs) return leaseMs;
    throw invalidArgument('lease', `must be 0 to ${maxSignalLeaseMs / 1000} seconds`);
  }

  #checkCursor(cursor: number): void {
    const { end } = this.#log;
    if (cursor <= end) return;
    const message = `cursor: ${cursor} lies beyond the end of the signals, ${end}`;
    throw new DomainError('CURSOR_OUT_OF_RANGE', message, { field: 'cursor' });
  }
}

function bytesOf(entry: SignalEntry): number {
  switch (entry.type) {
    case 'port':
    case 'unwatched':
      return ENTRY_BYTES;
    case 'error':
      return ENTRY_BYTES + 2 * (entry.message.length + entry.source.length);
    case 'serverReady':
      return ENTRY_BYTES + 2 * entry.path.length;
    case 'custom':
      return ENTRY_BYTES + 2 * (entry.name.length + entry.data.length);
  }
}
