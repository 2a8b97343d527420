import { durationMs } from '@bufbuild/protobuf/wkt';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type {
  SignalService,
  StreamSignalsRequest,
} from '../../../gen/computesdk/v1/signal_service_pb.ts';
import { principalFromHeaders } from '../../rpc/principal-headers.ts';
import type { SignalHub } from '../signal/signal-hub.ts';
import { toEmittedSignal, toOpenPort, toStreamResponse } from './signal-messages.ts';

/** Serves the signals of this sandbox. Who may call what was settled by the gateway. */
export function signalService(signals: SignalHub): ServiceImpl<typeof SignalService> {
  return {
    streamSignals: (request, context) => stream(signals, request, context),
    async listPorts() {
      return { ports: (await signals.ports()).map(toOpenPort) };
    },
    async emitSignal(request, { requestHeader }) {
      const actor = principalFromHeaders(requestHeader);
      await signals.emit(actor, request.requestId, toEmittedSignal(request));
      return {};
    },
  };
}

async function* stream(signals: SignalHub, request: StreamSignalsRequest, context: HandlerContext) {
  const { cursor, incarnation, readerId, lease, portsWanted } = request;
  const attached = await signals.attach({
    actor: principalFromHeaders(context.requestHeader),
    ...{ incarnation, readerId, wantsPorts: portsWanted },
    ...(cursor !== undefined && { cursor: Number(cursor) }),
    ...(lease && { leaseMs: durationMs(lease) }),
  });
  // At once, so that the lease starts when the connection ends, not when its buffers notice.
  const close = () => attached.close();
  context.signal.addEventListener('abort', close, { once: true });
  try {
    context.signal.throwIfAborted();
    for await (const event of attached.events()) yield toStreamResponse(event);
    // A deadline ended it, which must not look like an end of the signals.
    context.signal.throwIfAborted();
  } finally {
    context.signal.removeEventListener('abort', close);
    attached.close();
  }
}
