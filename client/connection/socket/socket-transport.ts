import {
  create,
  type DescMessage,
  type DescMethodStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ContextValues,
  createContextValues,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type Transport,
  type UnaryRequest,
  type UnaryResponse,
} from '@connectrpc/connect';
import { runStreamingCall, runUnaryCall } from '@connectrpc/connect/protocol';
import { toFrameHeaders } from '../../../frames/headers.ts';
import type { FrameSocket } from './frame-socket.ts';
import type { CallAnswer, SocketCall } from './socket-call.ts';

/** The longest timeout that a frame can hold, in milliseconds: 49 days. */
const MAX_TIMEOUT_MS = 2 ** 32 - 1;
/** Of calls that nobody cancels. */
const NEVER = new AbortController().signal;

export type SocketTransportOptions = {
  readonly baseUrl: string;
  /** The WebSocket that the next call is made on, which may bring a credential of its own. */
  readonly socket: (authorization: string | undefined) => FrameSocket;
  /** What calls are made with, as an Authorization header has it. */
  readonly authorization: () => string | undefined;
  readonly interceptors?: readonly Interceptor[];
};

/** A Connect transport over WebSockets: calls of every kind, many at a time on one connection. */
export class SocketTransport implements Transport {
  readonly #options: SocketTransportOptions;

  constructor(options: SocketTransportOptions) {
    this.#options = options;
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: MessageInitShape<I>,
    contextValues?: ContextValues,
  ): Promise<UnaryResponse<I, O>> {
    const req = {
      ...this.#request(method, header, contextValues),
      stream: false,
      method,
      message: create(method.input, input),
    } as const;
    const common = this.#common(signal, timeoutMs);
    // What Connect does beyond that costs two controllers and an error: for each key.
    if (common.interceptors.length === 0 && timeoutMs === undefined) {
      return this.#unary<I, O>({ ...req, signal: signal ?? NEVER }).catch((error: unknown) => {
        throw toError(error, signal);
      });
    }
    const next = (request: UnaryRequest<I, O>) => this.#unary(request, timeoutMs);
    return runUnaryCall<I, O>({ ...common, req, next });
  }

  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
    contextValues?: ContextValues,
  ): Promise<StreamResponse<I, O>> {
    const common = this.#common(signal, timeoutMs);
    const req = {
      ...this.#request(method, header, contextValues),
      stream: true,
      method,
    } as const;
    // What Connect does beyond that costs promises for each message, and each key is one.
    if (common.interceptors.length === 0 && timeoutMs === undefined) {
      const requests = input[Symbol.asyncIterator]();
      return this.#stream<I, O>({ ...req, signal: signal ?? NEVER }, requests).catch(
        (error: unknown) => {
          throw toError(error, signal);
        },
      );
    }
    return runStreamingCall<I, O>({
      ...common,
      req: { ...req, message: input },
      next: (request) =>
        this.#stream<I, O>(request, request.message[Symbol.asyncIterator](), timeoutMs),
    });
  }

  async #unary<I extends DescMessage, O extends DescMessage>(
    request: UnaryRequest<I, O>,
    timeoutMs?: number,
  ): Promise<UnaryResponse<I, O>> {
    const message = toBinary(request.method.input, request.message);
    const call = this.#open(request, timeoutMs, { message, finished: true });
    const answer = await answerOf(call, request.signal);
    const { service, method } = request;
    return {
      ...{ stream: false, service, method, header: answer.header, trailer: answer.trailer },
      message: parse(method.output, answer.message ?? new Uint8Array()),
    };
  }

  async #stream<I extends DescMessage, O extends DescMessage>(
    request: Omit<StreamRequest<I, O>, 'message'>,
    requests: AsyncIterator<MessageInitShape<I>>,
    timeoutMs?: number,
  ): Promise<StreamResponse<I, O>> {
    const { service, method, signal } = request;
    const toBytes = (message: MessageInitShape<I>) =>
      toBinary(method.input, create(method.input, message));
    const isSingle = method.methodKind === 'server_streaming';
    const first = isSingle ? await requests.next() : undefined;
    const call = this.#open(request, timeoutMs, {
      finished: isSingle,
      ...(first?.done === false && { message: toBytes(first.value) }),
    });
    const trailer = new Headers();
    const answer = answerOf(call, signal);
    answer.then(
      (end) => {
        for (const [name, value] of end.trailer) trailer.append(name, value);
        stop(requests);
      },
      (error: unknown) => stop(requests, error),
    );
    if (!isSingle) void sendAll(call, requests, toBytes);
    const header = await call.header;
    let isOver = false;
    const next = async (): Promise<IteratorResult<MessageShape<O>>> => {
      try {
        // What came before is of no more use either.
        if (!isOver) signal.throwIfAborted();
        const { done, value } = await call.messages.next();
        if (!done) return { done: false, value: parse(method.output, value) };
        await answer;
        isOver = true;
        return { done: true, value: undefined };
      } catch (error) {
        call.cancel(error);
        throw toError(error, signal);
      }
    };
    // No generator, which would cost each key three more promises. Without `return`, as in Connect: only
    // the signal ends a call.
    const message = { [Symbol.asyncIterator]: () => ({ next }) };
    return { ...{ stream: true, service, method, header, trailer }, message };
  }

  #open(
    request: { readonly url: string; readonly header: Headers; readonly signal: AbortSignal },
    timeoutMs: number | undefined,
    first: { readonly message?: Uint8Array; readonly finished: boolean },
  ): SocketCall {
    // A server that hears of a call may have begun with it when it hears of the end.
    request.signal.throwIfAborted();
    const { baseUrl, socket, authorization } = this.#options;
    const own = request.header.get('authorization') ?? undefined;
    const headers = toFrameHeaders(request.header);
    return socket(own).open(own ?? authorization(), {
      method: request.url.slice(baseUrl.length),
      headers: headers.filter(({ name }) => name !== 'authorization'),
      timeoutMs: Math.min(Math.max(Math.ceil(timeoutMs ?? 0), 0), MAX_TIMEOUT_MS),
      ...first,
    });
  }

  #common(signal: AbortSignal | undefined, timeoutMs: number | undefined) {
    return {
      interceptors: [...(this.#options.interceptors ?? [])],
      ...(signal && { signal }),
      ...(timeoutMs !== undefined && { timeoutMs }),
    };
  }

  #request(
    method: DescMethodUnary | DescMethodStreaming,
    header: HeadersInit | undefined,
    contextValues: ContextValues | undefined,
  ) {
    return {
      service: method.parent,
      requestMethod: 'POST',
      url: `${this.#options.baseUrl}/${method.parent.typeName}/${method.name}`,
      header: new Headers(header),
      contextValues: contextValues ?? createContextValues(),
    };
  }
}

/** The end of a call, which the signal cancels until then. */
async function answerOf(call: SocketCall, signal: AbortSignal): Promise<CallAnswer> {
  const cancel = () => call.cancel(signal.reason);
  if (signal.aborted) cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await call.answer;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

async function sendAll<T>(
  call: SocketCall,
  messages: AsyncIterator<T>,
  toBytes: (message: T) => Uint8Array,
): Promise<void> {
  try {
    for (let next = await messages.next(); !next.done; next = await messages.next()) {
      const sent = call.send(toBytes(next.value));
      // Nothing to wait for, mostly.
      if (sent) await sent;
    }
    call.finish();
  } catch (error) {
    // The call failed already, or its caller's messages did.
    call.cancel(error);
  }
}

/** Tells who makes messages that nobody takes more of them. */
function stop<T>(messages: AsyncIterator<T>, error?: unknown): void {
  if (error !== undefined) messages.throw?.(error).catch(() => {});
  messages.return?.().catch(() => {});
}

/** What the caller is told. */
function toError(error: unknown, signal: AbortSignal | undefined): ConnectError {
  return ConnectError.from(error, signal?.aborted ? Code.Canceled : undefined);
}

function parse<O extends DescMessage>(schema: O, bytes: Uint8Array): MessageShape<O> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    const error = new ConnectError(`a message is no ${schema.typeName}`, Code.DataLoss);
    error.cause = cause;
    error.isWireError = true;
    throw error;
  }
}
