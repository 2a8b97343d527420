import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Client } from '@connectrpc/connect';
import type { Terminal as TerminalRecord } from '../gen/computesdk/v1/terminal_pb.ts';
import type { TerminalService } from '../gen/computesdk/v1/terminal_service_pb.ts';
import { linkController } from './connection/abort.ts';
import type { InputSink } from './connection/input-queue.ts';
import { SandboxError, unreachable } from './errors.ts';
import type { TerminalContext } from './terminal-context.ts';

/** How input reaches one terminal. */
export function terminalInput(context: TerminalContext, record: TerminalRecord): InputSink {
  const { client, connection } = context;
  const terminalId = record.id;
  return {
    async send({ writerId, sequence, data }, signal) {
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
