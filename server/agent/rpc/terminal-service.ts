import { durationMs } from '@bufbuild/protobuf/wkt';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type {
  AttachTerminalRequest,
  CreateTerminalRequest,
  StreamTerminalInputRequest,
  TerminalService,
  WriteTerminalRequest,
} from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import { untilAborted } from '../../core/abort.ts';
import { invalidArgument } from '../../core/domain-error.ts';
import type { Principal } from '../../core/principal.ts';
import { principalFromHeaders } from '../../rpc/principal-headers.ts';
import type { TerminalRegistry } from '../terminal/registry.ts';
import type { WriterTable } from '../terminal/writer-table.ts';
import { connectionKey } from './connection.ts';
import { InputAnswers } from './input-stream.ts';
import { outputPrefix } from './output-prefix.ts';
import { toAttachResponse, toTerminal } from './terminal-messages.ts';

const DEFAULT_COLS = 80;
const DEFAULT_ROWS = 24;

/** Serves the terminals of this sandbox. Who may call what was settled by the gateway. */
export function terminalService(terminals: TerminalRegistry): ServiceImpl<typeof TerminalService> {
  return {
    async createTerminal(request, context) {
      const created = await terminals.create(callerOf(context), createOptions(request));
      const { session, writerId, readerId } = created;
      return { terminal: toTerminal(session.state), writerId, readerId };
    },
    getTerminal: (request) => ({ terminal: toTerminal(terminals.get(request.terminalId).state) }),
    listTerminals: () => ({
      terminals: terminals.list().map((session) => toTerminal(session.state)),
    }),
    attachTerminal: (request, context) => attach(terminals, request, context),
    acknowledgeTerminal({ terminalId, readerId, cursor }, context) {
      const actor = callerOf(context);
      terminals.get(terminalId).readers.acknowledge({ readerId, actor, cursor: Number(cursor) });
      return {};
    },
    detachTerminal({ terminalId, readerId }, context) {
      terminals.get(terminalId).readers.detach({ readerId, actor: callerOf(context) });
      return {};
    },
    writeTerminal: (request, context) => write(terminals, request, context),
    streamTerminalInput: (requests, context) => streamInput(terminals, requests, context),
    resizeTerminal({ terminalId, cols, rows }) {
      terminals.get(terminalId).resize({ cols, rows });
      return {};
    },
    signalTerminal({ terminalId, signal }) {
      terminals.get(terminalId).signal(signal);
      return {};
    },
    async destroyTerminal({ terminalId }) {
      await terminals.destroy(terminalId);
      return {};
    },
  };
}

async function* attach(
  terminals: TerminalRegistry,
  request: AttachTerminalRequest,
  context: HandlerContext,
) {
  const actor = callerOf(context);
  const session = terminals.get(request.terminalId);
  const connection = context.values.get(connectionKey);
  const writerId = actor.scopes.includes('terminal:write')
    ? session.writers.open(actor, request.writerId)
    : '';
  const { readerId, incarnation, acknowledges, cursor, lease } = request;
  const stream = session.attach({
    ...{ actor, readerId, incarnation, acknowledges, writerId },
    ...(cursor !== undefined && { cursor: Number(cursor) }),
    ...(lease && { leaseMs: durationMs(lease) }),
    disconnect: connection.disconnect,
  });
  // At once, so that the lease starts when the connection ends, not when its buffers notice.
  const close = () => stream.close();
  context.signal.addEventListener('abort', close, { once: true });
  try {
    context.signal.throwIfAborted();
    for await (const event of stream.events()) {
      const isDirect = event.type === 'output' && connection.takesMessages();
      if (!isDirect) {
        yield toAttachResponse(event);
        continue;
      }
      const sent = connection.send([outputPrefix(event), event.data], context.signal);
      if (sent) await sent;
    }
    // A deadline ended it, which must not look like the terminal's end.
    context.signal.throwIfAborted();
  } finally {
    context.signal.removeEventListener('abort', close);
    stream.close();
  }
}

async function write(
  terminals: TerminalRegistry,
  request: WriteTerminalRequest,
  context: HandlerContext,
) {
  const { writers } = terminals.get(request.terminalId);
  const { writerId, data } = request;
  const sequence = Number(request.sequence);
  if (sequence === 0) {
    await untilAborted(writers.writeUnnumbered(data), context.signal);
    return { duplicate: false };
  }
  if (writerId === '') throw invalidArgument('writerId', 'is needed for numbered input');
  const actor = callerOf(context);
  return untilAborted(writers.write({ writerId, actor, sequence, data }), context.signal);
}

function streamInput(
  terminals: TerminalRegistry,
  requests: AsyncIterable<StreamTerminalInputRequest>,
  context: HandlerContext,
) {
  const actor = callerOf(context);
  let writer: { readonly id: string; readonly table: WriterTable } | undefined;
  const apply = async ({ terminalId, writerId, sequence, data }: StreamTerminalInputRequest) => {
    writer ??= { id: writerId, table: terminals.get(terminalId).writers };
    if (writer.id === '' || sequence === 0n) {
      throw invalidArgument(writer.id === '' ? 'writerId' : 'sequence', 'is needed');
    }
    return writer.table.write({ writerId: writer.id, actor, sequence: Number(sequence), data });
  };
  return new InputAnswers(requests, apply, context.signal);
}

function createOptions(request: CreateTerminalRequest) {
  const { requestId, name, shell, args, cwd, env, readerLease } = request;
  return {
    ...{ requestId, name, shell, args, cwd, env },
    pty: request.pty ?? true,
    size: { cols: request.cols ?? DEFAULT_COLS, rows: request.rows ?? DEFAULT_ROWS },
    ...(readerLease && { readerLeaseMs: durationMs(readerLease) }),
  };
}

function callerOf(context: HandlerContext): Principal {
  return principalFromHeaders(context.requestHeader);
}
