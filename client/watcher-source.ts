import { durationFromMs, timestampDate } from '@bufbuild/protobuf/wkt';
import type { Client } from '@connectrpc/connect';
import {
  WatcherChangeKind as WireChangeKind,
  ContentOmission as WireContentOmission,
  type WatcherChange as WireWatcherChange,
  WatcherEnd as WireWatcherEnd,
} from '../gen/computesdk/v1/watcher_pb.ts';
import type {
  StreamWatcherResponse,
  WatcherService,
} from '../gen/computesdk/v1/watcher_service_pb.ts';
import type { StreamEvent, StreamPosition, StreamSource } from './connection/resumable-stream.ts';
import { errorOfReason, type SandboxError } from './errors.ts';
import { toGapReason } from './gap-reasons.ts';
import type {
  ContentOmission,
  WatcherChange,
  WatcherChangeKind,
  WatcherEnd,
} from './watcher-events.ts';

/** What a watcher's stream carries. */
export type WatcherPiece =
  | { readonly kind: 'change'; readonly change: WatcherChange }
  | { readonly kind: 'error'; readonly error: SandboxError }
  | { readonly kind: 'destroyed'; readonly reason: WatcherEnd };

type Watchers = Client<typeof WatcherService>;

/** How long the watcher waits for this reader after its connection broke. */
export const WATCHER_LEASE_MS = 30_000;

const KINDS: Readonly<Partial<Record<number, WatcherChangeKind>>> = {
  [WireChangeKind.ADD]: 'add',
  [WireChangeKind.CHANGE]: 'change',
  [WireChangeKind.UNLINK]: 'unlink',
  [WireChangeKind.ADD_DIR]: 'addDir',
  [WireChangeKind.UNLINK_DIR]: 'unlinkDir',
};
const OMISSIONS: Readonly<Partial<Record<number, ContentOmission>>> = {
  [WireContentOmission.TOO_LARGE]: 'too_large',
  [WireContentOmission.BINARY]: 'binary',
  [WireContentOmission.UNREADABLE]: 'unreadable',
};
const ENDS: Readonly<Partial<Record<number, WatcherEnd>>> = {
  [WireWatcherEnd.ABANDONED]: 'abandoned',
  [WireWatcherEnd.FAILED]: 'failed',
};

/** The stream of one watcher, as the resumable stream wants it. */
export function watcherSource(client: Watchers, watcherId: string): StreamSource<WatcherPiece> {
  return {
    open: (position, signal) => open({ client, watcherId, position }, signal),
    trim: (piece) => piece,
  };
}

async function* open(
  {
    client,
    watcherId,
    position,
  }: { client: Watchers; watcherId: string; position: StreamPosition },
  signal: AbortSignal,
): AsyncGenerator<StreamEvent<WatcherPiece>> {
  const { cursor, incarnation, readerId } = position;
  const request = {
    ...{ watcherId, incarnation, readerId, lease: durationFromMs(WATCHER_LEASE_MS) },
    ...(cursor !== undefined && { cursor: BigInt(cursor) }),
  };
  /** The change whose content is still arriving. */
  let partial: PartialChange | undefined;
  for await (const { event } of client.streamWatcher(request, { signal })) {
    if (event.case === 'change') {
      partial = new PartialChange(event.value);
    } else if (event.case === 'content' && partial) {
      partial.add(event.value.data);
    } else {
      yield toStreamEvent(event);
      continue;
    }
    if (partial.isWhole) {
      yield partial.toStreamEvent();
      partial = undefined;
    } else {
      yield { kind: 'part' };
    }
  }
}

/** A change whose content comes in parts. */
class PartialChange {
  readonly #change: WireWatcherChange;
  readonly #content: Uint8Array | undefined;
  #filled = 0;

  constructor(change: WireWatcherChange) {
    this.#change = change;
    const { content, followingBytes } = change;
    if (!content) return;
    if (followingBytes === 0) {
      this.#content = content;
      this.#filled = content.byteLength;
      return;
    }
    this.#content = new Uint8Array(content.byteLength + followingBytes);
    this.add(content);
  }

  get isWhole(): boolean {
    return this.#filled === (this.#content?.byteLength ?? 0);
  }

  add(data: Uint8Array): void {
    this.#content?.set(data, this.#filled);
    this.#filled += data.byteLength;
  }

  toStreamEvent(): StreamEvent<WatcherPiece> {
    const { cursor, nextCursor, kind, path, size, mtime, omission } = this.#change;
    const event = KINDS[kind];
    // A kind that a newer server knows.
    if (!event) return { kind: 'keep_alive' };
    const bytes = this.#content;
    const contentOmitted = OMISSIONS[omission];
    const change: WatcherChange = {
      ...{ event, path, size: Number(size), mtime: mtime && timestampDate(mtime) },
      ...(bytes && { content: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes), bytes }),
      ...(contentOmitted && { contentOmitted }),
    };
    return {
      kind: 'data',
      from: Number(cursor),
      to: Number(nextCursor),
      value: { kind: 'change', change },
    };
  }
}

/** Positions are numbers of events: no watcher has 2^53 of them, so a number holds them. */
function toStreamEvent(event: StreamWatcherResponse['event']): StreamEvent<WatcherPiece> {
  switch (event.case) {
    case 'ready': {
      const { incarnation, readerId } = event.value;
      const cursor = Number(event.value.cursor);
      const replayUntil = Number(event.value.replayUntil);
      return { kind: 'ready', incarnation, readerId, cursor, replayUntil };
    }
    case 'gap': {
      const { from, to, reason, incomplete } = event.value;
      const complete = !incomplete;
      return {
        ...({ kind: 'gap', from: Number(from), to: Number(to), complete } as const),
        reason: toGapReason(reason),
      };
    }
    case 'error': {
      const { cursor, nextCursor, reason, message } = event.value;
      const value = { kind: 'error', error: errorOfReason(reason, message) } as const;
      return { kind: 'data', from: Number(cursor), to: Number(nextCursor), value };
    }
    case 'destroyed': {
      const value = { kind: 'destroyed', reason: ENDS[event.value.end] ?? 'destroyed' } as const;
      return { kind: 'end', at: Number(event.value.cursor), value };
    }
    default:
      // A keep-alive, or an event that a newer server knows: a sign of life either way.
      return { kind: 'keep_alive' };
  }
}
