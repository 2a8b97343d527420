import { ServerResponse } from 'node:http';
import { type ContextValues, createContextKey, createContextValues } from '@connectrpc/connect';
import { untilAborted } from '../../core/abort.ts';
import { callForm } from '../../rpc/call-form.ts';
import type { HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';

/** The connection of a call, for what Connect's own way of answering cannot do. */
export type CallConnection = {
  /** Cuts it, for one that takes nothing and so cannot be told anything. */
  disconnect(): void;
  /** Whether {@link CallConnection.send} may be used now. */
  takesEnvelopes(): boolean;
  /**
   * Answers with one whole envelope, past Connect, which copies each message three times. Resolves
   * when the parts are no longer needed. Only while Connect waits for the next message of the stream.
   */
  send(parts: readonly Uint8Array[], signal: AbortSignal): Promise<void>;
};

/** The {@link CallConnection} of a call. In tests without HTTP there is none. */
export const connectionKey = createContextKey<CallConnection>(
  {
    disconnect: () => {},
    takesEnvelopes: () => false,
    send: () => Promise.reject(new Error('a call without a connection takes no envelopes')),
  },
  { description: 'connection' },
);

/** The context values of a request. */
export function connectionValues(request: HttpRequest, response: HttpResponse): ContextValues {
  if (!(response instanceof ServerResponse)) throw new Error('an agent serves HTTP/1.1 only');
  const form = callForm(request);
  // Connect, gRPC and gRPC-web have the same envelopes. In JSON the bytes are text.
  const hasEnvelopes = form?.binary === true && form.protocol !== 'connect-unary';
  return createContextValues().set(connectionKey, {
    disconnect: () => request.socket.destroy(),
    // Before the first message Connect has not sent the headers.
    takesEnvelopes: () => hasEnvelopes && response.headersSent,
    send: (parts, signal) => untilAborted(write(response, parts), signal),
  });
}

async function write(response: ServerResponse, parts: readonly Uint8Array[]): Promise<void> {
  response.cork();
  const taken = parts.map(
    (part) =>
      new Promise<void>((resolve, reject) => {
        response.write(part, (error) => (error ? reject(error) : resolve()));
      }),
  );
  response.uncork();
  await Promise.all(taken);
}
