import {
  type DescMessage,
  fromBinary,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
} from '@connectrpc/connect';
import { transformInvokeImplementation } from '@connectrpc/connect/protocol';
import { DomainError } from '../core/domain-error.ts';

/** What serves a method that is no unary one. */
export type StreamSpec = Exclude<MethodImplSpec, { kind: 'unary' }>;

const DONE = { done: true, value: undefined } as const;

type Answer = MessageInitShape<DescMessage>;

/**
 * Has a stream served. Without interceptors its messages go past the library, whose own streams cost eight
 * promises a message: each key has two.
 */
export async function answersOf(
  spec: StreamSpec,
  requests: AsyncIterable<Message>,
  context: HandlerContext,
  interceptors: Interceptor[],
): Promise<AsyncIterable<Answer> | readonly Answer[]> {
  if (interceptors.length > 0) {
    return transformInvokeImplementation(spec, context, interceptors)(requests);
  }
  switch (spec.kind) {
    case 'bidi_streaming':
      return spec.impl(requests, context);
    case 'client_streaming':
      return [await spec.impl(requests, context)];
    case 'server_streaming':
      return spec.impl(await only(requests), context);
  }
}

async function only(requests: AsyncIterable<Message>): Promise<Message> {
  const messages = requests[Symbol.asyncIterator]();
  const first = await messages.next();
  const isOne = !first.done && (await messages.next()).done;
  if (isOne) return first.value;
  throw new ConnectError('the method takes exactly one message', Code.Unimplemented);
}

/** The requests of a stream, from its opening frame and those after it. Throws INVALID_ARGUMENT. */
export function requestsOf<T extends DescMessage>(
  schema: T,
  opening: Uint8Array | undefined,
  following: AsyncIterator<Uint8Array>,
): AsyncIterable<MessageShape<T>> {
  let first = opening;
  // Not a generator: it would cost each key three more promises.
  const next = async (): Promise<IteratorResult<MessageShape<T>>> => {
    const bytes = first;
    first = undefined;
    if (bytes) return { done: false, value: parseRequest(schema, bytes) };
    const { done, value } = await following.next();
    return done ? DONE : { done: false, value: parseRequest(schema, value) };
  };
  const end = async () => {
    await following.return?.();
    return DONE;
  };
  return { [Symbol.asyncIterator]: () => ({ next, return: end }) };
}

/** Reads a request. Throws INVALID_ARGUMENT. */
export function parseRequest<T extends DescMessage>(schema: T, bytes: Uint8Array): MessageShape<T> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    const problem = `the request is no ${schema.typeName}`;
    throw new DomainError('INVALID_ARGUMENT', problem, { cause });
  }
}
