import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Client } from '@connectrpc/connect';
import { type OpenPort, PortChange } from '../gen/computesdk/v1/signal_pb.ts';
import type {
  SignalService,
  StreamSignalsResponse,
} from '../gen/computesdk/v1/signal_service_pb.ts';
import type { StreamReady } from '../gen/computesdk/v1/stream_pb.ts';
import type { StreamEvent, StreamSource } from './connection/resumable-stream.ts';
import { toGapReason } from './gap-reasons.ts';

/** What the stream of signals carries. */
export type SignalPiece =
  /** Nothing yet; it fixes the position from which on nothing may be missed. */
  | { readonly kind: 'begun' }
  | { readonly kind: 'ports'; readonly ports: readonly OpenPort[] }
  | { readonly kind: 'open' | 'close'; readonly port: OpenPort }
  | { readonly kind: 'error'; readonly message: string; readonly source: string }
  | { readonly kind: 'serverReady'; readonly port: number; readonly path: string }
  | { readonly kind: 'custom'; readonly name: string; readonly data: string };

/** How long the sandbox looks for ports on behalf of this reader after its connection broke. */
const LEASE_MS = 30_000;

/** The stream of a sandbox's signals, as the resumable stream wants it. */
export class SignalSource implements StreamSource<SignalPiece> {
  readonly #client: Client<typeof SignalService>;
  /** Whether the list of open ports has to come: at the beginning, and after every gap. */
  arePortsWanted = true;

  constructor(client: Client<typeof SignalService>) {
    this.#client = client;
  }

  async *open(
    { cursor, incarnation, readerId }: Parameters<StreamSource<SignalPiece>['open']>[0],
    signal: AbortSignal,
  ): AsyncGenerator<StreamEvent<SignalPiece>> {
    const request = {
      ...{ incarnation, readerId, portsWanted: this.arePortsWanted },
      lease: durationFromMs(LEASE_MS),
      ...(cursor !== undefined && { cursor: BigInt(cursor) }),
    };
    for await (const { event } of this.#client.streamSignals(request, { signal })) {
      if (
        event.case === 'gap' ||
        (event.case === 'ready' && event.value.incarnation !== incarnation)
      )
        this.arePortsWanted = true;
      yield toStreamEvent(event);
      if (event.case === 'ready') yield* beginning({ cursor, incarnation }, event.value);
      if (event.case === 'ports') this.arePortsWanted = false;
    }
  }

  trim(piece: SignalPiece): SignalPiece {
    return piece;
  }
}

/**
 * What a first message means for the position, told together with it: the connection may break before
 * the next one.
 */
function* beginning(
  { cursor, incarnation }: { readonly cursor: number | undefined; readonly incarnation: string },
  ready: StreamReady,
): Generator<StreamEvent<SignalPiece>> {
  const at = Number(ready.cursor);
  if (cursor === undefined) yield { kind: 'data', from: at, to: at, value: { kind: 'begun' } };
  else if (incarnation !== ready.incarnation)
    yield { kind: 'gap', from: cursor, to: at, reason: 'incarnation' };
}

/** Positions are numbers of signals. */
function toStreamEvent(event: StreamSignalsResponse['event']): StreamEvent<SignalPiece> {
  switch (event.case) {
    case 'ready': {
      const { incarnation, readerId } = event.value;
      const cursor = Number(event.value.cursor);
      const replayUntil = Number(event.value.replayUntil);
      return { kind: 'ready', incarnation, readerId, cursor, replayUntil };
    }
    case 'gap': {
      const { from, to, reason } = event.value;
      return { kind: 'gap', from: Number(from), to: Number(to), reason: toGapReason(reason) };
    }
    case 'ports': {
      const at = Number(event.value.cursor);
      return { kind: 'data', from: at, to: at, value: { kind: 'ports', ports: event.value.ports } };
    }
    default: {
      const piece = toPiece(event);
      // A keep-alive, or an event that a newer server knows: a sign of life either way.
      if (!piece || !event.value || !('cursor' in event.value)) return { kind: 'keep_alive' };
      const from = Number(event.value.cursor);
      return { kind: 'data', from, to: from + 1, value: piece };
    }
  }
}

function toPiece(event: StreamSignalsResponse['event']): SignalPiece | undefined {
  switch (event.case) {
    case 'port': {
      const { port, change } = event.value;
      return port && { kind: change === PortChange.CLOSE ? 'close' : 'open', port };
    }
    case 'error': {
      const { message = '', source = '' } = event.value.failure ?? {};
      return { kind: 'error', message, source };
    }
    case 'serverReady': {
      const { port = 0, path = '' } = event.value.server ?? {};
      return { kind: 'serverReady', port, path };
    }
    case 'custom': {
      const { name = '', data = '' } = event.value.signal ?? {};
      return { kind: 'custom', name, data };
    }
    default:
      return undefined;
  }
}
