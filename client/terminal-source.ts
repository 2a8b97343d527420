import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Client } from '@connectrpc/connect';
import type {
  AttachTerminalResponse,
  TerminalService,
} from '../gen/computesdk/v1/terminal_service_pb.ts';
import type { StreamEvent, StreamSource } from './connection/resumable-stream.ts';
import { toGapReason } from './gap-reasons.ts';
import type { TerminalExit, TerminalSize } from './terminal-events.ts';

/** What a terminal's stream carries. */
export type TerminalPiece =
  | { readonly kind: 'output'; readonly data: Uint8Array; readonly from: number }
  | ({ readonly kind: 'resized' } & TerminalSize)
  | ({ readonly kind: 'exited' } & TerminalExit);

/** The queue's writer: the stream keeps it alive, and may be issued one. */
export interface WriterHolder {
  readonly writerId: string;
  offerWriter(id: string): void;
}

/** How long the program waits for this reader after its connection broke. */
export const READER_LEASE_MS = 30_000;

/** The stream of one terminal, as the resumable stream wants it. */
export function terminalSource(
  client: Client<typeof TerminalService>,
  terminalId: string,
  writer: WriterHolder,
): StreamSource<TerminalPiece> {
  return {
    async *open({ cursor, incarnation, readerId }, signal) {
      const request = {
        terminalId,
        incarnation,
        readerId,
        writerId: writer.writerId,
        lease: durationFromMs(READER_LEASE_MS),
        acknowledges: true,
        ...(cursor !== undefined && { cursor: BigInt(cursor) }),
      };
      for await (const message of client.attachTerminal(request, { signal })) {
        const { event } = message;
        if (event.case === 'ready') writer.offerWriter(event.value.writerId);
        yield toStreamEvent(event);
      }
    },
    trim(piece, from) {
      if (piece.kind !== 'output') return piece;
      return { ...piece, data: piece.data.subarray(from - piece.from), from };
    },
  };
}

/** Positions are bytes of output: no terminal produces 2^53 of them, so a number holds them. */
function toStreamEvent(event: AttachTerminalResponse['event']): StreamEvent<TerminalPiece> {
  switch (event.case) {
    case 'ready': {
      const { incarnation, readerId } = event.value;
      const cursor = Number(event.value.cursor);
      const replayUntil = Number(event.value.replayUntil);
      return { kind: 'ready', incarnation, readerId, cursor, replayUntil };
    }
    case 'gap': {
      const { from, to, reason } = event.value;
      const why = toGapReason(reason);
      return { kind: 'gap', from: Number(from), to: Number(to), reason: why };
    }
    case 'output': {
      const { data } = event.value;
      const from = Number(event.value.cursor);
      return {
        kind: 'data',
        from,
        to: from + data.byteLength,
        value: { kind: 'output', data, from },
      };
    }
    case 'resized': {
      const { cols, rows } = event.value;
      const at = Number(event.value.cursor);
      return { kind: 'data', from: at, to: at, value: { kind: 'resized', cols, rows } };
    }
    case 'exited': {
      const { exitCode, signal } = event.value;
      const value = { kind: 'exited', exitCode, signal: signal || undefined } as const;
      return { kind: 'end', at: Number(event.value.cursor), value };
    }
    default:
      // A keep-alive, or an event that a newer server knows: a sign of life either way.
      return { kind: 'keep_alive' };
  }
}
