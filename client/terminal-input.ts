import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Client } from '@connectrpc/connect';
import type { Terminal as TerminalRecord } from '../gen/computesdk/v1/terminal_pb.ts';
import type { TerminalService } from '../gen/computesdk/v1/terminal_service_pb.ts';
import { linkController } from './connection/abort.ts';
import type { InputSink } from './connection/input-queue.ts';
import { SandboxError, unreachable } from './errors.ts';
import { InputStream } from './input-stream.ts';
import type { TerminalContext } from './terminal-context.ts';

/** For how long input goes in calls of its own after a stream of it was refused, in milliseconds. */
const CALLS_MS = 5_000;

/** How input reaches one terminal: on a stream where there may be one, in calls otherwise. */
export function terminalInput(context: TerminalContext, record: TerminalRecord): InputSink {
  const { client, connection, isDuplex } = context;
  const { clock } = connection;
  const terminalId = record.id;
  let stream: InputStream | undefined;
  let callsUntil = -1;
  const openStream = (writerId: string, signal: AbortSignal) => {
    if (stream?.isOpen) return stream;
    if (stream?.wasRefused) callsUntil = clock.now() + CALLS_MS;
    stream = undefined;
    if (!isDuplex() || connection.state.state !== 'connected' || clock.now() < callsUntil) return;
    const signals = [signal, connection.closed, connection.lost, connection.access.replaced];
    stream = new InputStream({ client, clock, terminalId, writerId, signals });
    return stream;
  };
  return {
    async send(input, signal) {
      const { writerId, sequence, data } = input;
      if (await openStream(writerId, signal)?.send(input)) return;
      const request = { terminalId, writerId, sequence: BigInt(sequence), data };
      await connection.call((attempt) => client.writeTerminal(request, { signal: attempt }), {
        signal,
        retry: 'forever',
        // The program does not read just now: the same number is offered again.
        alsoRetry: (error) => error.code === 'limit_reached',
      });
    },
    newWriter: (signal) =>
      connection.call((attempt) => askForWriter(client, record, attempt), {
        signal,
        retry: 'forever',
      }),
  };
}

/** Only an attach issues a writer: attaches at the end of the output, without a lease. */
async function askForWriter(
  client: Client<typeof TerminalService>,
  record: TerminalRecord,
  signal: AbortSignal,
): Promise<string> {
  const { id: terminalId, incarnation, cursor } = record;
  const request = { terminalId, incarnation, cursor, lease: durationFromMs(0) };
  const attempt = linkController(signal);
  try {
    for await (const { event } of client.attachTerminal(request, { signal: attempt.signal })) {
      if (event.case !== 'ready') continue;
      if (event.value.writerId !== '') return event.value.writerId;
      throw new SandboxError('permission_denied', 'the credential does not allow input');
    }
    throw unreachable('the stream stopped before it began');
  } finally {
    attempt.unlink();
    attempt.abort();
  }
}
