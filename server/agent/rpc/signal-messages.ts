import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type OpenPort,
  OpenPortSchema,
  PortChange as WirePortChange,
} from '../../../gen/computesdk/v1/signal_pb.ts';
import type {
  EmitSignalRequest,
  StreamSignalsResponseSchema,
} from '../../../gen/computesdk/v1/signal_service_pb.ts';
import { GapReason as WireGapReason } from '../../../gen/computesdk/v1/stream_pb.ts';
import { invalidArgument } from '../../core/domain-error.ts';
import type * as domain from '../signal/events.ts';

type Message = MessageInitShape<typeof StreamSignalsResponseSchema>;

const GAP_REASONS: Readonly<Record<domain.GapReason, WireGapReason>> = {
  EVICTED: WireGapReason.EVICTED,
  SLOW_READER: WireGapReason.SLOW_READER,
  LEASE_EXPIRED: WireGapReason.LEASE_EXPIRED,
  INCARNATION: WireGapReason.INCARNATION,
};
const PORT_CHANGES: Readonly<Record<domain.PortChange, WirePortChange>> = {
  open: WirePortChange.OPEN,
  close: WirePortChange.CLOSE,
};

/** The record of an open port. */
export function toOpenPort({ openedAt, ...port }: domain.OpenPort): OpenPort {
  return create(OpenPortSchema, { ...port, openedAt: timestampFromMs(openedAt) });
}

/** One event of the stream of signals. */
export function toStreamResponse(event: domain.SignalEvent): Message {
  switch (event.type) {
    case 'ready': {
      const { incarnation, readerId } = event;
      const positions = { cursor: BigInt(event.cursor), replayUntil: BigInt(event.replayUntil) };
      return { event: { case: 'ready', value: { incarnation, readerId, ...positions } } };
    }
    case 'gap': {
      const reason = GAP_REASONS[event.reason];
      return {
        event: { case: 'gap', value: { from: BigInt(event.from), to: BigInt(event.to), reason } },
      };
    }
    case 'keepAlive':
      return { event: { case: 'keepAlive', value: {} } };
    case 'ports': {
      const ports = event.ports.map(toOpenPort);
      return { event: { case: 'ports', value: { cursor: BigInt(event.cursor), ports } } };
    }
    case 'signal':
      return signalResponse(BigInt(event.cursor), event.signal);
  }
}

/** What a caller wants to tell. Throws INVALID_ARGUMENT for a signal that this version does not know. */
export function toEmittedSignal({ signal }: EmitSignalRequest): domain.EmittedSignal {
  switch (signal.case) {
    case 'port':
      return { type: 'port', port: signal.value.port, change: toChange(signal.value.change) };
    case 'serverReady':
      return { type: 'serverReady', port: signal.value.port, path: signal.value.path };
    case 'error':
      return { type: 'error', message: signal.value.message, source: signal.value.source };
    case 'custom':
      return { type: 'custom', name: signal.value.name, data: signal.value.data };
    case undefined:
      throw invalidArgument('signal', 'is missing');
  }
}

function signalResponse(cursor: bigint, signal: domain.Signal): Message {
  switch (signal.type) {
    case 'port': {
      const port = toOpenPort(signal.port);
      const change = PORT_CHANGES[signal.change];
      return { event: { case: 'port', value: { cursor, change, port } } };
    }
    case 'error': {
      const { message, source } = signal;
      return { event: { case: 'error', value: { cursor, failure: { message, source } } } };
    }
    case 'serverReady': {
      const { port, path } = signal;
      return { event: { case: 'serverReady', value: { cursor, server: { port, path } } } };
    }
    case 'custom': {
      const { name, data } = signal;
      return { event: { case: 'custom', value: { cursor, signal: { name, data } } } };
    }
  }
}

function toChange(change: WirePortChange): domain.PortChange {
  switch (change) {
    case WirePortChange.OPEN:
      return 'open';
    case WirePortChange.CLOSE:
      return 'close';
    default:
      throw invalidArgument('change', 'must be open or close');
  }
}
