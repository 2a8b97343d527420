import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { GapReason as WireGapReason } from '../../../gen/computesdk/v1/stream_pb.ts';
import {
  type Watcher,
  WatcherChangeKind,
  WatcherSchema,
  ContentOmission as WireContentOmission,
  WatcherEnd as WireWatcherEnd,
} from '../../../gen/computesdk/v1/watcher_pb.ts';
import type { StreamWatcherResponseSchema } from '../../../gen/computesdk/v1/watcher_service_pb.ts';
import { toErrorReason } from '../../rpc/connect-error.ts';
import type {
  ChangeKind,
  ContentOmission,
  GapReason,
  WatcherEnd,
  WatcherEvent,
} from '../watcher/events.ts';
import type { WatcherSession } from '../watcher/session.ts';

type Message = MessageInitShape<typeof StreamWatcherResponseSchema>;

const GAP_REASONS: Readonly<Record<GapReason, WireGapReason>> = {
  EVICTED: WireGapReason.EVICTED,
  SLOW_READER: WireGapReason.SLOW_READER,
  LEASE_EXPIRED: WireGapReason.LEASE_EXPIRED,
  INCARNATION: WireGapReason.INCARNATION,
  OVERFLOW: WireGapReason.OVERFLOW,
};
const KINDS: Readonly<Record<ChangeKind, WatcherChangeKind>> = {
  add: WatcherChangeKind.ADD,
  change: WatcherChangeKind.CHANGE,
  unlink: WatcherChangeKind.UNLINK,
  addDir: WatcherChangeKind.ADD_DIR,
  unlinkDir: WatcherChangeKind.UNLINK_DIR,
};
const OMISSIONS: Readonly<Record<ContentOmission, WireContentOmission>> = {
  TOO_LARGE: WireContentOmission.TOO_LARGE,
  BINARY: WireContentOmission.BINARY,
  UNREADABLE: WireContentOmission.UNREADABLE,
};
const ENDS: Readonly<Record<WatcherEnd, WireWatcherEnd>> = {
  DESTROYED: WireWatcherEnd.DESTROYED,
  ABANDONED: WireWatcherEnd.ABANDONED,
  FAILED: WireWatcherEnd.FAILED,
};

/** The record of a watcher. */
export function toWatcher({ facts, cursor }: WatcherSession): Watcher {
  const { createdAt, ignored, ...same } = facts;
  return create(WatcherSchema, {
    ...same,
    ignored: [...ignored],
    createdAt: timestampFromMs(createdAt),
    cursor: BigInt(cursor),
  });
}

/** One event of a watcher's stream. */
export function toStreamResponse(event: WatcherEvent): Message {
  switch (event.type) {
    case 'change':
      return toChange(event);
    case 'content':
      return { event: { case: 'content', value: { data: event.data } } };
    case 'ready': {
      const { incarnation, readerId } = event;
      const positions = { cursor: BigInt(event.cursor), replayUntil: BigInt(event.replayUntil) };
      return { event: { case: 'ready', value: { incarnation, readerId, ...positions } } };
    }
    case 'gap': {
      const { from, to, isIncomplete: incomplete } = event;
      const reason = GAP_REASONS[event.reason];
      const value = { from: BigInt(from), to: BigInt(to), reason, incomplete };
      return { event: { case: 'gap', value } };
    }
    case 'keepAlive':
      return { event: { case: 'keepAlive', value: {} } };
    case 'error': {
      const { cursor, nextCursor, message } = event;
      const positions = { cursor: BigInt(cursor), nextCursor: BigInt(nextCursor) };
      const reason = toErrorReason(event.reason);
      return { event: { case: 'error', value: { ...positions, reason, message } } };
    }
    case 'destroyed': {
      const value = { cursor: BigInt(event.cursor), end: ENDS[event.end] };
      return { event: { case: 'destroyed', value } };
    }
  }
}

function toChange(event: Extract<WatcherEvent, { type: 'change' }>): Message {
  const { kind, path, size, mtimeMs, content, omission, followingBytes } = event;
  const isGone = kind === 'unlink' || kind === 'unlinkDir';
  const value = {
    cursor: BigInt(event.cursor),
    nextCursor: BigInt(event.nextCursor),
    kind: KINDS[kind],
    ...{ path, followingBytes, size: BigInt(size) },
    ...(!isGone && { mtime: timestampFromMs(Math.floor(mtimeMs)) }),
    ...(content && { content }),
    ...(omission && { omission: OMISSIONS[omission] }),
  };
  return { event: { case: 'change', value } };
}
