import type { DescService } from '@bufbuild/protobuf';
import { type CallOptions, type Client, makeAnyClient, type Transport } from '@connectrpc/connect';

/**
 * A client of a service, as `createClient` makes it, but that the messages of a stream reach their reader
 * as they leave the transport: each key has several, and Connect's own streams cost six promises a message.
 * Of a call's options the signal, the timeout and the headers are used.
 */
export function newClient<S extends DescService>(service: S, transport: Transport): Client<S> {
  const client: unknown = makeAnyClient(service, (method) => {
    if (method.methodKind === 'unary') {
      return async (request, { signal, timeoutMs, headers }: CallOptions = {}) =>
        (await transport.unary(method, signal, timeoutMs, headers, request)).message;
    }
    // No service has one.
    if (method.methodKind === 'client_streaming') return null;
    const open = (requests: AsyncIterable<never>, options: CallOptions = {}) => {
      const { signal, timeoutMs, headers } = options;
      return messagesOf(transport.stream(method, signal, timeoutMs, headers, requests));
    };
    return method.methodKind === 'server_streaming'
      ? (request: never, options) => open(only(request), options)
      : open;
  });
  // Its methods are those of the service: one was made for each.
  return client as Client<S>;
}

async function* only<T>(message: T) {
  yield message;
}

function messagesOf<T>(
  response: Promise<{ readonly message: AsyncIterable<T> }>,
): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      let messages: AsyncIterator<T> | undefined;
      const first = async () => {
        messages = (await response).message[Symbol.asyncIterator]();
        return messages.next();
      };
      return { next: () => messages?.next() ?? first() };
    },
  };
}
