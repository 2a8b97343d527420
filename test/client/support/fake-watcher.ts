import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Code, type ConnectError } from '@connectrpc/connect';
import type { Clock } from '../../../client/connection/clock.ts';
import { ErrorReason } from '../../../gen/computesdk/v1/error_pb.ts';
import { GapReason } from '../../../gen/computesdk/v1/stream_pb.ts';
import {
  type ContentOmission,
  WatcherChangeKind,
  type WatcherEnd,
} from '../../../gen/computesdk/v1/watcher_pb.ts';
import type {
  CreateWatcherRequest,
  StreamWatcherRequest,
  StreamWatcherResponseSchema,
} from '../../../gen/computesdk/v1/watcher_service_pb.ts';
import { refusal } from './fake-terminal.ts';
import { News } from './news.ts';

type Message = MessageInitShape<typeof StreamWatcherResponseSchema>;
type Event = NonNullable<Message['event']>;
type Range = { readonly cursor: bigint; readonly nextCursor: bigint };
type Entry = {
  readonly number: number;
  readonly path: string;
  readonly toEvents: (range: Range) => Event[];
};

/** What a change of a {@link FakeWatcher} carries. */
export type FakeChange = {
  /** Default: CHANGE. */
  readonly kind?: WatcherChangeKind;
  readonly content?: Uint8Array;
  /** How much of the content goes into one message. Default: all of it. */
  readonly partBytes?: number;
  readonly omission?: ContentOmission;
  readonly size?: number;
  /** Default: none. */
  readonly mtimeMs?: number;
};

/** A watcher without files: a test tells what changed and looks at who reads. */
export class FakeWatcher {
  readonly id: string;
  readonly request: CreateWatcherRequest;
  readonly incarnation = 'life-1';
  readonly attaches: StreamWatcherRequest[] = [];
  /** Refuses every stream with this. */
  failure: ConnectError | undefined;
  /** Ends streams that come to this event right before it: the next one, or as many as it says. */
  cutBefore: Event['case'];
  cuts = 1;
  /** Whether deletions are missing in what makes up for a gap. */
  isIncomplete = false;
  readonly #news: News;
  /** Oldest first. Where numbers are missing, events were evicted. */
  #log: Entry[] = [];
  #end = 0;
  #ended: WatcherEnd | undefined;

  constructor(id: string, request: CreateWatcherRequest, clock: Clock) {
    this.id = id;
    this.request = request;
    this.#news = new News(clock);
  }

  record() {
    const { path, ignored, gitignore, includeContent, maxContentBytes = 1_048_576 } = this.request;
    return {
      ...{ id: this.id, incarnation: this.incarnation, cursor: BigInt(this.#end) },
      ...{ path, ignored, gitignore, includeContent, maxContentBytes },
    };
  }

  change(path: string, change: FakeChange = {}): void {
    this.#push(path, (range) => toEvents(path, change, range));
  }

  error(reason: ErrorReason, message: string): void {
    this.#push('', (range) => [{ case: 'error', value: { ...range, reason, message } }]);
  }

  /** The system dropped events; what is told from now on makes up for it. */
  overflow(): void {
    this.#push('', ({ cursor: from, nextCursor: to }) => [
      { case: 'gap', value: { from, to, reason: GapReason.OVERFLOW } },
    ]);
  }

  /** Keeps the last change of each path only, as a difference does. */
  evict(): void {
    const last = new Map(this.#log.map((entry) => [entry.path, entry]));
    this.#log = this.#log.filter((entry) => last.get(entry.path) === entry);
  }

  finish(end: WatcherEnd): void {
    this.#ended = end;
    this.#news.tell();
  }

  fail(failure: ConnectError): void {
    this.failure = failure;
    this.#news.tell();
  }

  async *stream(request: StreamWatcherRequest, signal: AbortSignal): AsyncGenerator<Message> {
    this.attaches.push(request);
    for await (const event of this.#events(request, signal)) {
      if (event.case === this.cutBefore) {
        this.cuts -= 1;
        if (this.cuts <= 0) this.cutBefore = undefined;
        return;
      }
      yield { event };
    }
  }

  async *#events(request: StreamWatcherRequest, signal: AbortSignal): AsyncGenerator<Event> {
    if (this.failure) throw this.failure;
    let at = Number(request.cursor ?? 0n);
    if (at > this.#end) throw refusal(Code.OutOfRange, ErrorReason.CURSOR_OUT_OF_RANGE);
    let isGapTold = false;
    yield { case: 'ready', value: this.#ready(request, at) };
    while (!signal.aborted) {
      if (this.failure) throw this.failure;
      const entry = this.#log.find(({ number }) => number >= at);
      if (entry && entry.number > at && !isGapTold) {
        isGapTold = true;
        yield { case: 'gap', value: this.#gap(at, entry.number) };
        at = entry.number;
      } else if (entry) {
        const nextCursor = BigInt(entry.number + 1);
        const events = entry.toEvents({ cursor: BigInt(at), nextCursor });
        at = entry.number + 1;
        yield* events;
      } else if (this.#ended !== undefined) {
        yield { case: 'destroyed', value: { cursor: BigInt(this.#end), end: this.#ended } };
        return;
      } else if (await this.#news.isIdle(signal)) yield { case: 'keepAlive', value: {} };
    }
  }

  #ready({ readerId }: StreamWatcherRequest, at: number) {
    const positions = { cursor: BigInt(at), replayUntil: BigInt(this.#end) };
    return { incarnation: this.incarnation, readerId: readerId || 'rdr-new', ...positions };
  }

  #gap(from: number, to: number) {
    const reason = GapReason.SLOW_READER;
    return { from: BigInt(from), to: BigInt(to), reason, incomplete: this.isIncomplete };
  }

  #push(path: string, make: Entry['toEvents']): void {
    this.#log.push({ number: this.#end, path, toEvents: make });
    this.#end += 1;
    this.#news.tell();
  }
}

/** A change, and what of its content follows it. */
function toEvents(path: string, change: FakeChange, range: Range): Event[] {
  const { kind = WatcherChangeKind.CHANGE, content, omission, mtimeMs } = change;
  const { partBytes = content?.byteLength ?? 0, size = content?.byteLength ?? 0 } = change;
  const first = content?.subarray(0, partBytes);
  const rest = content?.subarray(partBytes) ?? new Uint8Array();
  const value = {
    ...{ ...range, kind, path, size: BigInt(size), followingBytes: rest.byteLength },
    ...(first && { content: first }),
    ...(omission !== undefined && { omission }),
    ...(mtimeMs !== undefined && { mtime: timestampFromMs(mtimeMs) }),
  };
  const events: Event[] = [{ case: 'change', value }];
  for (let at = 0; at < rest.byteLength; at += partBytes)
    events.push({ case: 'content', value: { data: rest.subarray(at, at + partBytes) } });
  return events;
}
