import type { Clock } from '../../core/clock.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { newId } from '../../core/id.ts';
import type { Actor } from '../../core/principal.ts';
import type { Quota } from '../../core/quota.ts';
import type { TerminalLimits } from './limits.ts';
import { Reader } from './reader.ts';
import { type ReaderSource, ReaderStream } from './reader-stream.ts';

export type ReaderTableOptions = {
  readonly clock: Clock;
  readonly limits: TerminalLimits;
  readonly source: ReaderSource;
  /** Names the life of the log. */
  readonly incarnation: string;
  /** Bounds the streams of the whole sandbox. */
  readonly streams: Quota;
  /** Called when what {@link ReaderTable.holdFrom} says may have changed. */
  readonly onMoved: () => void;
};

/** Where and how a reader wants to read. */
export type AttachOptions = {
  readonly actor: Actor;
  /** Empty for a new reader. */
  readonly readerId: string;
  /** Position of the first byte wanted; absent for the oldest held. */
  readonly cursor?: number;
  /** The incarnation of `cursor`; empty if not known. */
  readonly incarnation: string;
  readonly leaseMs?: number;
  readonly acknowledges: boolean;
  readonly writerId: string;
  /** Called at the end of the stream. */
  readonly onClosed?: () => void;
  /** Cuts the connection. */
  readonly disconnect: () => void;
};

/** The readers of one terminal, and what they together ask of its log. */
export class ReaderTable {
  readonly #options: ReaderTableOptions;
  /** In the order of their last attach, so that the longest absent come first. */
  readonly #readers = new Map<string, Reader>();

  constructor(options: ReaderTableOptions) {
    this.#options = options;
  }

  /** The position from which on nothing may be evicted: that of the fastest reader waited for. */
  get holdFrom(): number {
    let fastest = Number.NEGATIVE_INFINITY;
    for (const reader of this.#readers.values()) {
      if (reader.isHolding && reader.cursor > fastest) fastest = reader.cursor;
    }
    return fastest === Number.NEGATIVE_INFINITY ? Number.POSITIVE_INFINITY : fastest;
  }

  /** Whether a reader that is waited for has not come to `cursor` yet. */
  isAnyBefore(cursor: number): boolean {
    return [...this.#readers.values()].some((reader) => reader.isHolding && reader.cursor < cursor);
  }

  /** Makes a reader that is waited for from the beginning on, and returns its id. The lease was checked. */
  reserve(actor: Actor, leaseMs: number): string {
    const reader = this.#add(actor);
    reader.lease(leaseMs);
    return reader.id;
  }

  /** Attaches a reader. Its earlier stream ends. Throws CURSOR_OUT_OF_RANGE, LIMIT_REACHED. */
  attach(options: AttachOptions): ReaderStream {
    const { clock, limits, source, incarnation, streams } = this.#options;
    const leaseMs = checkLease('lease', options.leaseMs ?? limits.leaseMs, limits);
    const isForeign = options.incarnation !== '' && options.incarnation !== incarnation;
    const cursor = isForeign ? source.log.start : (options.cursor ?? 0);
    this.#checkCursor(cursor);
    const reader = this.#readerFor(options);
    // First, since its place among the streams is the new one's.
    reader
      .takeStream()
      ?.close(new DomainError('CONFLICT', 'the reader attached again on another connection'));
    const release = streams.acquire();
    reader.cursor = cursor;
    const stream = new ReaderStream({
      ...{ reader, source, clock, limits, cursor, incarnation },
      acknowledges: options.acknowledges,
      writerId: options.writerId,
      ...(isForeign && { foreignCursor: options.cursor ?? 0 }),
      onMoved: this.#options.onMoved,
      onClosed: () => {
        release();
        if (reader.stream === stream) reader.lease(leaseMs);
        options.onClosed?.();
      },
      disconnect: options.disconnect,
    });
    reader.attach(stream);
    this.#options.onMoved();
    return stream;
  }

  /** Takes note of how far a reader has come. Throws NOT_FOUND, CURSOR_OUT_OF_RANGE. */
  acknowledge(options: { readerId: string; actor: Actor; cursor: number }): void {
    const reader = this.#find(options);
    if (!reader) {
      throw new DomainError('NOT_FOUND', 'readerId: the terminal knows no such reader', {
        field: 'readerId',
      });
    }
    this.#checkCursor(options.cursor);
    reader.cursor = Math.max(reader.cursor, options.cursor);
    reader.stream?.acknowledged();
    this.#options.onMoved();
  }

  /** Ends a reader for good. Does nothing for one that is unknown or another's. */
  detach(options: { readerId: string; actor: Actor }): void {
    const reader = this.#find(options);
    if (!reader) return;
    this.#forget(reader);
    this.#options.onMoved();
  }

  /** Lets every stream look for news. */
  wake(): void {
    for (const reader of this.#readers.values()) reader.stream?.wake();
  }

  /** Forgets every reader that is not attached. */
  forgetAbsent(): void {
    for (const reader of this.#readers.values()) if (!reader.stream) this.#forget(reader);
  }

  #find({ readerId, actor }: { readerId: string; actor: Actor }): Reader | undefined {
    const reader = this.#readers.get(readerId);
    return reader && actor.subjects.includes(reader.subject) ? reader : undefined;
  }

  #readerFor(options: AttachOptions): Reader {
    const known = this.#find(options);
    if (!known) {
      const reader = this.#add(options.actor);
      // It was here once, and was forgotten since.
      if (options.readerId !== '') reader.gapReason = 'LEASE_EXPIRED';
      return reader;
    }
    this.#readers.delete(known.id);
    this.#readers.set(known.id, known);
    return known;
  }

  #add({ subject }: Actor): Reader {
    const { clock, limits, onMoved } = this.#options;
    if (this.#readers.size >= limits.readers) {
      const oldest =
        this.#oldest((reader) => reader.state === 'expired') ??
        this.#oldest((reader) => !reader.stream);
      if (!oldest)
        throw new DomainError('LIMIT_REACHED', `the limit of ${limits.readers} readers is reached`);
      this.#forget(oldest);
    }
    const reader = new Reader({ id: newId('rdr'), subject, clock, onExpired: onMoved });
    this.#readers.set(reader.id, reader);
    return reader;
  }

  #oldest(isWanted: (reader: Reader) => boolean): Reader | undefined {
    return [...this.#readers.values()].find(isWanted);
  }

  #forget(reader: Reader): void {
    this.#readers.delete(reader.id);
    const stream = reader.takeStream();
    reader.release();
    stream?.close();
  }

  #checkCursor(cursor: number): void {
    const { end } = this.#options.source.log;
    if (cursor <= end) return;
    throw new DomainError(
      'CURSOR_OUT_OF_RANGE',
      `cursor: ${cursor} lies beyond the end of the output, ${end}`,
      {
        field: 'cursor',
      },
    );
  }
}

/** Returns a lease that may be had. Throws INVALID_ARGUMENT, which names the field. */
export function checkLease(field: string, leaseMs: number, { maxLeaseMs }: TerminalLimits): number {
  if (leaseMs >= 0 && leaseMs <= maxLeaseMs) return leaseMs;
  throw invalidArgument(field, `must be 0 to ${maxLeaseMs / 1000} seconds`);
}
