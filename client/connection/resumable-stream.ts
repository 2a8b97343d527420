import {
  isNetworkFailure,
  isTransient,
  type SandboxError,
  toSandboxError,
  unreachable,
} from '../errors.ts';
import { abortError, linkController, sleep, waitFor } from './abort.ts';
import { Backoff } from './backoff.ts';
import type { Connection } from './connection.ts';

/** Where a reader is in a stream. */
export type StreamPosition = {
  /** Position after the last event that was taken. Absent: the oldest that is held. */
  readonly cursor: number | undefined;
  /** The life of the process that the cursor belongs to. Empty: not known yet. */
  readonly incarnation: string;
  /** Names the reader, so that its lease goes on. Empty: not known yet. */
  readonly readerId: string;
};

/** What a stream can say, whatever it is a stream of. */
export type StreamEvent<T> =
  | {
      readonly kind: 'ready';
      readonly incarnation: string;
      readonly cursor: number;
      readonly replayUntil: number;
      readonly readerId: string;
    }
  | ({ readonly kind: 'gap' } & StreamGap)
  /** Nothing to say, or nothing that this version understands: a sign of life. */
  | { readonly kind: 'keep_alive' }
  /** A piece of something that is not whole yet, and comes again if the stream breaks before it is. */
  | { readonly kind: 'part' }
  /** Occupies the positions from `from` up to, not including, `to`. */
  | { readonly kind: 'data'; readonly from: number; readonly to: number; readonly value: T }
  /** The last event, at this position. */
  | { readonly kind: 'end'; readonly at: number; readonly value: T };

/** A part of a stream that is missing. */
export type StreamGap = {
  readonly from: number;
  readonly to: number;
  readonly reason: GapReason;
  /** Whether what follows makes up for it. Absent: it does not. */
  readonly complete?: boolean;
};

/**
 * Why a part of a stream is missing.
 *
 * - `evicted`: dropped from the bounded log before this reader came.
 * - `slow_reader`: other readers kept up and the program was not held back for this one.
 * - `lease_expired`: the reader stayed away for longer than its lease.
 * - `incarnation`: produced by a process that is gone.
 * - `overflow`: the system dropped file events, because they came faster than they were taken.
 * - `unknown`: the server did not say.
 */
export type GapReason =
  | 'evicted'
  | 'incarnation'
  | 'lease_expired'
  | 'overflow'
  | 'slow_reader'
  | 'unknown';

/** How to open a stream of one kind. */
export interface StreamSource<T> {
  open(position: StreamPosition, signal: AbortSignal): AsyncIterable<StreamEvent<T>>;
  /** The rest of a piece of data without what lies before `from`. */
  trim(value: T, from: number): T;
}

/** Who takes the events. None of these may throw. */
export interface StreamHandlers<T> {
  onReady(position: StreamPosition): void;
  onData(value: T, info: { readonly replay: boolean; readonly from: number }): void;
  onGap(gap: StreamGap): void;
  onEnd(value: T): void;
}

/**
 * Reads a stream as if it never broke. It knows its cursor, goes on from there after every
 * interruption, and drops what the server repeats, so that every event is taken exactly once or
 * covered by a gap.
 */
export class ResumableStream<T> {
  readonly #connection: Connection;
  readonly #source: StreamSource<T>;
  readonly #handlers: StreamHandlers<T>;
  #position: StreamPosition;
  /** Events before this position were produced before the reader attached. */
  #replayUntil = 0;
  #wasReady = false;

  constructor(
    connection: Connection,
    source: StreamSource<T>,
    handlers: StreamHandlers<T>,
    position: StreamPosition,
  ) {
    this.#connection = connection;
    this.#source = source;
    this.#handlers = handlers;
    this.#position = position;
  }

  /** Where the reader is. */
  get position(): StreamPosition {
    return this.#position;
  }

  /** Goes back, to take events again that were dropped. Only while it does not run. */
  rewind(cursor: number): void {
    this.#position = { ...this.#position, cursor };
  }

  /**
   * Reads until the last event, or until the signal fires. Throws what ends the stream for good;
   * interruptions are bridged.
   */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#connection.clock.random);
    const stopWaking = this.#connection.wakefulness.hold();
    const reader = linkController(signal, this.#connection.closed);
    try {
      for (;;) {
        const generation = await this.#connection.enter(reader.signal);
        const { replaced } = this.#connection.access;
        const failure = await this.#read({ signal: reader.signal, replaced }, backoff);
        if (!failure) return;
        if (reader.signal.aborted) throw abortError(reader.signal);
        // Whatever it failed by: it is opened again, under another credential.
        if (replaced.aborted) continue;
        const recovery = this.#connection.access.recover(failure, replaced);
        if (await waitFor(recovery, reader.signal)) continue;
        if (!this.#isWorthRetrying(failure)) throw failure;
        if (isNetworkFailure(failure)) this.#connection.reportFailure(generation);
        const delayMs = Math.max(backoff.next(), failure.retryAfterMs ?? 0);
        await sleep(this.#connection.clock, delayMs, reader.signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      const failure = toSandboxError(error);
      this.#connection.noteRefusal(failure);
      // What ended the connection explains the end of its streams better than the last call does.
      throw this.#connection.closed.aborted ? abortError(this.#connection.closed) : failure;
    } finally {
      reader.unlink();
      stopWaking();
    }
  }

  /** Reads one connection's worth. Returns why it broke, or nothing after the last event. */
  async #read(
    { signal, replaced }: { readonly signal: AbortSignal; readonly replaced: AbortSignal },
    backoff: Backoff,
  ): Promise<SandboxError | undefined> {
    // `break` and `return` do not cancel a call, only its signal does: one controller a stream.
    const attempt = linkController(signal, replaced);
    const watch = this.#connection.watchdog.watch({
      onQuiet: () => void this.#connection.probe(),
      onDead: () => attempt.abort(unreachable('the stream was silent for 12 s')),
    });
    let isReady = false;
    try {
      for await (const event of this.#source.open(this.#position, attempt.signal)) {
        if (attempt.signal.aborted) break;
        watch.alive();
        if (event.kind === 'ready') isReady = true;
        else if (isReady && event.kind !== 'part') backoff.reset();
        if (this.#take(event)) return undefined;
      }
      if (attempt.signal.aborted) return abortError(attempt.signal);
      return unreachable('the stream stopped without its last message');
    } catch (error) {
      return attempt.signal.aborted ? abortError(attempt.signal) : toSandboxError(error);
    } finally {
      watch.stop();
      attempt.unlink();
      attempt.abort();
    }
  }

  /** A reader that was there may find its own dead stream still counted against a limit. */
  #isWorthRetrying(failure: SandboxError): boolean {
    return isTransient(failure) || (failure.code === 'limit_reached' && this.#wasReady);
  }

  /** Takes one event. True for the last one. */
  #take(event: StreamEvent<T>): boolean {
    switch (event.kind) {
      case 'ready':
        this.#onReady(event);
        return false;
      case 'gap':
        this.#onGap(event);
        return false;
      case 'data':
        this.#onData(event);
        return false;
      case 'end':
        this.#skipTo(event.at);
        this.#handlers.onEnd(event.value);
        return true;
      case 'keep_alive':
      case 'part':
        return false;
    }
  }

  #onReady(ready: Extract<StreamEvent<T>, { kind: 'ready' }>): void {
    const { incarnation, readerId } = ready;
    const isNewLife =
      this.#position.incarnation !== '' && this.#position.incarnation !== incarnation;
    // Positions of another life mean nothing in this one. Without a cursor the first event sets it.
    const cursor = isNewLife ? undefined : this.#position.cursor;
    this.#wasReady = true;
    this.#replayUntil = ready.replayUntil;
    this.#position = { cursor, incarnation, readerId };
    this.#handlers.onReady(this.#position);
  }

  #onData(event: Extract<StreamEvent<T>, { kind: 'data' }>): void {
    const cursor = this.#position.cursor ?? event.from;
    // An event without length at the cursor is new, or harmless when repeated.
    const isKnown = event.to < cursor || (event.to === cursor && event.from < event.to);
    if (isKnown) return;
    this.#skipTo(event.from);
    const from = Math.max(event.from, cursor);
    const value = event.from < cursor ? this.#source.trim(event.value, cursor) : event.value;
    // Advanced first: a listener may start the stream anew from here.
    this.#position = { ...this.#position, cursor: Math.max(event.to, cursor) };
    this.#handlers.onData(value, { replay: event.from < this.#replayUntil, from });
  }

  #onGap({ from, to, reason, complete }: StreamGap): void {
    const { cursor } = this.#position;
    const gap = { from: cursor ?? from, to, reason, ...(complete !== undefined && { complete }) };
    if (cursor !== undefined) {
      this.#skip(gap);
      return;
    }
    // Positions of another life, which may be higher than those of this one.
    this.#position = { ...this.#position, cursor: to };
    this.#handlers.onGap(gap);
  }

  /** Nothing is lost silently: whatever lies between the cursor and `to` is told as a gap. */
  #skipTo(to: number): void {
    this.#skip({ from: this.#position.cursor ?? to, to, reason: 'unknown' });
  }

  #skip(gap: StreamGap): void {
    if (gap.to <= gap.from) return;
    this.#position = { ...this.#position, cursor: gap.to };
    this.#handlers.onGap(gap);
  }
}
