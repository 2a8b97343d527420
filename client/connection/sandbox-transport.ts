import type {
  DescMessage,
  DescMethodStreaming,
  DescMethodUnary,
  MessageInitShape,
} from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ContextValues,
  type Interceptor,
  type StreamResponse,
  type Transport,
  type UnaryResponse,
} from '@connectrpc/connect';
import { createAsyncIterable } from '@connectrpc/connect/protocol';
import { SOCKET_PATH } from '../../frames/frame.ts';
import type { Clock } from './clock.ts';
import type { ConnectionNotice } from './connection-state.ts';
import type { Credential } from './credential.ts';
import { FrameSocket, type SocketEnd } from './socket/frame-socket.ts';
import { SocketTransport } from './socket/socket-transport.ts';
import { httpTransport } from './transport.ts';
import { WatchedStreams } from './watched-streams.ts';

/** How calls travel. */
export type TransportKind = 'websocket' | 'http';

export type SandboxTransportOptions = {
  readonly baseUrl: string;
  readonly credential: Credential;
  readonly clock: Clock;
  /** Undefined: WebSockets, and HTTP where they cannot be had. */
  readonly kind?: TransportKind | undefined;
  readonly interceptors?: readonly Interceptor[] | undefined;
  /** What the owner should know of the way. Undefined: it is as it should be. */
  readonly onNotice: (notice: ConnectionNotice | undefined) => void;
  /** A stream over HTTP has begun and nothing of it came, for 3 seconds. */
  readonly onLateStream: (stillLate: () => boolean) => void;
};

/** For how long WebSockets are not tried again where they could not be had, in milliseconds. */
const HTTP_MS = 5 * 60_000;
/** A WebSocket that ends this soon after it opened was cut by something that does not like them, in milliseconds. */
const EARLY_MS = 5_000;
/** How many in a row end early, or do not open although they did before, until HTTP is used. */
const MAX_FAILURES = 3;

/** Carries the calls to one sandbox: over one WebSocket, or over HTTP where that cannot be had. */
export class SandboxTransport implements Transport {
  readonly #options: SandboxTransportOptions;
  readonly #http: Transport;
  #socket: FrameSocket | undefined;
  /** Older WebSockets with calls that have not ended. */
  readonly #retired = new Set<FrameSocket>();
  /** WebSockets that were not accepted. */
  readonly #unopened = new WeakSet<FrameSocket>();
  #hasWorked = false;
  /** Those that did not open, in a row. */
  #failures = 0;
  /** Those that ended early, in a row. */
  #earlyEnds = 0;
  /** Until when HTTP is used. */
  #httpUntil = -1;

  constructor(options: SandboxTransportOptions) {
    this.#options = options;
    const { baseUrl, credential, clock, interceptors, onNotice, onLateStream } = options;
    this.#http = new WatchedStreams(httpTransport(baseUrl, credential, interceptors), {
      ...{ baseUrl, clock, onNotice, onLateStream },
    });
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: MessageInitShape<I>,
    values?: ContextValues,
  ): Promise<UnaryResponse<I, O>> {
    return this.#call((transport) =>
      transport.unary(method, signal, timeoutMs, header, input, values),
    );
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
    values?: ContextValues,
  ): Promise<StreamResponse<I, O>> {
    if (method.methodKind !== 'server_streaming') {
      const transport = this.#usesSocket() ? this.#overSocket(() => {}) : this.#http;
      return transport.stream(method, signal, timeoutMs, header, input, values);
    }
    // It can be read once, and may be needed twice.
    const messages: MessageInitShape<I>[] = [];
    for await (const message of input) messages.push(message);
    return this.#call((transport) => {
      const again = createAsyncIterable(messages);
      return transport.stream(method, signal, timeoutMs, header, again, values);
    });
  }

  /** Whether the next call goes over a WebSocket, so that both sides may stream. */
  get isDuplex(): boolean {
    return this.#usesSocket();
  }

  /** The way may be dead: calls from now on take another one. Those under way may still end well. */
  renew(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    this.#retired.add(socket);
    socket.retire();
  }

  /** Ends all calls and connections. */
  close(): void {
    this.renew();
    for (const socket of this.#retired) socket.close();
  }

  async #call<T>(run: (transport: Transport) => Promise<T>): Promise<T> {
    if (!this.#usesSocket()) return run(this.#http);
    let used: FrameSocket | undefined;
    try {
      return await run(
        this.#overSocket((socket) => {
          used = socket;
        }),
      );
    } catch (error) {
      // Nothing of the call was served there.
      if (!used || !this.#unopened.has(used) || !this.#mayUseHttp()) throw error;
    }
    return this.#callOverHttp(run);
  }

  /** A WebSocket could not be had. If HTTP can, it is used from now on. */
  async #callOverHttp<T>(run: (transport: Transport) => Promise<T>): Promise<T> {
    try {
      const answer = await run(this.#http);
      this.#useHttp();
      return answer;
    } catch (error) {
      if (error instanceof ConnectError && error.isWireError) this.#useHttp();
      throw error;
    }
  }

  #usesSocket(): boolean {
    const { kind, clock } = this.#options;
    if (kind !== undefined) return kind === 'websocket';
    return typeof WebSocket === 'function' && clock.now() >= this.#httpUntil;
  }

  #mayUseHttp(): boolean {
    if (this.#options.kind !== undefined) return false;
    return !this.#hasWorked || this.#failures >= MAX_FAILURES;
  }

  #useHttp(): void {
    if (this.#options.kind !== undefined || !this.#usesSocket()) return;
    this.#httpUntil = this.#options.clock.now() + HTTP_MS;
    this.#failures = 0;
    this.#earlyEnds = 0;
    this.#options.onNotice({
      code: 'websocket_unavailable',
      message:
        'no WebSocket to the gateway can be had, so HTTP is used: does a proxy on the way refuse or cut them?',
    });
  }

  #overSocket(onUsed: (socket: FrameSocket) => void): Transport {
    const { baseUrl, credential, interceptors } = this.#options;
    return new SocketTransport({
      baseUrl,
      ...(interceptors && { interceptors }),
      authorization: () => credential.authorization,
      socket: (authorization = credential.authorization) => {
        const socket = this.#openSocket(authorization);
        onUsed(socket);
        return socket;
      },
    });
  }

  #openSocket(authorization: string | undefined): FrameSocket {
    if (this.#socket && !this.#socket.isEnded) return this.#socket;
    const { baseUrl, clock } = this.#options;
    const socket: FrameSocket = new FrameSocket({
      url: `${baseUrl.replace(/^http/, 'ws')}${SOCKET_PATH}`,
      ...{ authorization, clock },
      newWebSocket: (url, protocol) => new WebSocket(url, protocol),
      onOpen: () => this.#onOpen(),
      onEnd: (end) => this.#onEnd(socket, end),
    });
    this.#socket = socket;
    return socket;
  }

  #onOpen(): void {
    this.#hasWorked = true;
    this.#failures = 0;
    this.#options.onNotice(undefined);
  }

  #onEnd(socket: FrameSocket, { wasOpen, openMs, isOrderly, error }: SocketEnd): void {
    if (this.#socket === socket) this.#socket = undefined;
    this.#retired.delete(socket);
    // An agent of an earlier version takes no frames.
    const isRefused = isOrderly && error.code === Code.Unimplemented;
    if (isRefused || (!wasOpen && !isOrderly)) this.#unopened.add(socket);
    // One that was wanted to end early says nothing of the way: after a cut, the next is often replaced.
    if (openMs > EARLY_MS) this.#earlyEnds = 0;
    else if (isOrderly && !isRefused) return;
    else if (wasOpen) this.#earlyEnds += 1;
    else this.#failures += 1;
    if (isRefused || this.#earlyEnds >= MAX_FAILURES) this.#useHttp();
  }
}
