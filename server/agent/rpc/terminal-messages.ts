import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { GapReason as WireGapReason } from '../../../gen/computesdk/v1/stream_pb.ts';
import {
  type Terminal,
  TerminalSchema,
  TerminalStatus,
} from '../../../gen/computesdk/v1/terminal_pb.ts';
import type { AttachTerminalResponseSchema } from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import type { GapReason, TerminalEvent } from '../terminal/events.ts';
import type { TerminalState } from '../terminal/session.ts';

const GAP_REASONS: Readonly<Record<GapReason, WireGapReason>> = {
  EVICTED: WireGapReason.EVICTED,
  SLOW_READER: WireGapReason.SLOW_READER,
  LEASE_EXPIRED: WireGapReason.LEASE_EXPIRED,
  INCARNATION: WireGapReason.INCARNATION,
};

/** The record of a terminal. */
export function toTerminal(state: TerminalState): Terminal {
  const { id, name, incarnation, shell, cwd, size, exit } = state;
  return create(TerminalSchema, {
    ...{ id, name, incarnation, shell, cwd },
    pty: size !== undefined,
    cols: size?.cols ?? 0,
    rows: size?.rows ?? 0,
    status: exit ? TerminalStatus.EXITED : TerminalStatus.RUNNING,
    ...(exit?.exitCode !== undefined && { exitCode: exit.exitCode }),
    signal: exit?.signal ?? '',
    createdAt: timestampFromMs(state.createdAt),
    cursor: BigInt(state.cursor),
  });
}

/** One event of a terminal's stream. */
export function toAttachResponse(
  event: TerminalEvent,
): MessageInitShape<typeof AttachTerminalResponseSchema> {
  switch (event.type) {
    case 'output':
      return {
        event: { case: 'output', value: { cursor: BigInt(event.cursor), data: event.data } },
      };
    case 'ready': {
      const { incarnation, readerId, writerId } = event;
      const positions = { cursor: BigInt(event.cursor), replayUntil: BigInt(event.replayUntil) };
      return { event: { case: 'ready', value: { incarnation, readerId, writerId, ...positions } } };
    }
    case 'gap': {
      const reason = GAP_REASONS[event.reason];
      return {
        event: { case: 'gap', value: { from: BigInt(event.from), to: BigInt(event.to), reason } },
      };
    }
    case 'keepAlive':
      return { event: { case: 'keepAlive', value: {} } };
    case 'resized': {
      const { cols, rows } = event;
      return { event: { case: 'resized', value: { cursor: BigInt(event.cursor), cols, rows } } };
    }
    case 'exited': {
      const { exitCode, signal } = event.exit;
      const value = {
        cursor: BigInt(event.cursor),
        signal,
        ...(exitCode !== undefined && { exitCode }),
      };
      return { event: { case: 'exited', value } };
    }
  }
}
