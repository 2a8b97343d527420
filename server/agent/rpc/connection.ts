import { ServerResponse } from 'node:http';
import { type ContextValues, createContextKey, createContextValues } from '@connectrpc/connect';
import { untilAborted } from '../../core/abort.ts';
import { DomainError } from '../../core/domain-error.ts';
import { callForm } from '../../rpc/call-form.ts';
import type { HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';
import type { ServedCall } from '../../rpc/served-call.ts';

/** The connection of a call, for what Connect's own way of answering cannot do. */
export type CallConnection = {
  /** Cuts it, for one that takes nothing and so cannot be told anything. */
  disconnect(): void;
  /** Whether {@link CallConnection.send} may be used now. */
  takesMessages(): boolean;
  /**
   * Answers with one whole message, in binary, past Connect, which copies each three times. Undefined:
   * the parts are no longer needed. Else it resolves when they are not. Only while Connect waits for the
   * next message of the stream.
   */
  send(parts: readonly Uint8Array[], signal: AbortSignal): Promise<void> | undefined;
};

/** The {@link CallConnection} of a call. In tests without HTTP there is none. */
export const connectionKey = createContextKey<CallConnection>(
  {
    disconnect: () => {},
    takesMessages: () => false,
    send: () => Promise.reject(new Error('a call without a connection takes no messages')),
  },
  { description: 'connection' },
);

/** One byte of flags and four of length before each message of a stream over HTTP. */
const ENVELOPE_HEAD_BYTES = 5;

/** The context values of a request over HTTP. */
export function connectionValues(request: HttpRequest, response: HttpResponse): ContextValues {
  if (!(response instanceof ServerResponse)) throw new Error('an agent serves HTTP/1.1 only');
  const form = callForm(request);
  // Connect, gRPC and gRPC-web have the same envelopes. In JSON the bytes are text.
  const hasEnvelopes = form?.binary === true && form.protocol !== 'connect-unary';
  return createContextValues().set(connectionKey, {
    disconnect: () => request.socket.destroy(),
    // Before the first message Connect has not sent the headers.
    takesMessages: () => hasEnvelopes && response.headersSent,
    send: (parts, signal) => untilAborted(write(response, parts), signal),
  });
}

/** The context values of a call in frames. */
export function framedCallValues(call: ServedCall): ContextValues {
  return createContextValues().set(connectionKey, {
    // The connection has other calls, and may well be read: this one is told.
    disconnect: () => call.fail(new DomainError('SLOW_READER', 'the call takes nothing')),
    takesMessages: () => call.hasBegun,
    send: (parts) => call.sendMessage(parts),
  });
}

function envelopeHead(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const head = Buffer.alloc(ENVELOPE_HEAD_BYTES);
  head.writeUInt32BE(length, 1);
  return head;
}

/** Few pieces and one promise: each is garbage, for every message of every reader. */
function write(response: ServerResponse, parts: readonly Uint8Array[]): Promise<void> {
  const last = parts.length - 1;
  return new Promise((resolve, reject) => {
    response.cork();
    response.write(Buffer.concat([envelopeHead(parts), ...parts.slice(0, last)]));
    response.write(parts[last], (error) => (error ? reject(error) : resolve()));
    response.uncork();
  });
}
