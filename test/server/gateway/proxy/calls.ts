import { ConnectError, type createClient } from '@connectrpc/connect';
import { ErrorDetailSchema, type ErrorReason } from '../../../../gen/computesdk/v1/error_pb.ts';
import type { TerminalService } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { TOKEN } from './fixture.ts';

/** The options of a call with a credential. */
export function withToken(token = TOKEN) {
  return { headers: { authorization: `Bearer ${token}` } };
}

/** Reads a stream to its end and counts the bytes of output. */
export async function read(
  stream: ReturnType<ReturnType<typeof createClient<typeof TerminalService>>['attachTerminal']>,
): Promise<number> {
  let bytes = 0;
  for await (const { event } of stream)
    if (event.case === 'output') bytes += event.value.data.length;
  return bytes;
}

/** What a call failed with. */
export async function failure(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error('the call should have failed');
}

/** The typed reason of an error. */
export function reasonOf(error: ConnectError): ErrorReason | undefined {
  return error.findDetails(ErrorDetailSchema)[0]?.reason;
}
