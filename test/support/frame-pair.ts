import { create, createFileRegistry } from '@bufbuild/protobuf';
import type { GenService } from '@bufbuild/protobuf/codegenv2';
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_wrappers,
  StringValueSchema,
} from '@bufbuild/protobuf/wkt';
import type { ConnectRouter, ContextValues, Interceptor, Transport } from '@connectrpc/connect';
import { createContextValues } from '@connectrpc/connect';
import { systemClock } from '../../client/connection/clock.ts';
import { FrameSocket, type SocketEnd } from '../../client/connection/socket/frame-socket.ts';
import { SocketTransport } from '../../client/connection/socket/socket-transport.ts';
import { CONNECTION_STREAM, decodeFrame, encodeFrame } from '../../frames/frame.ts';
import { fromFrameHeaders } from '../../frames/headers.ts';
import { frameRoutes } from '../../server/rpc/frame-routes.ts';
import { FrameServer } from '../../server/rpc/frame-server.ts';

type TextMethod<Kind> = {
  readonly methodKind: Kind;
  readonly input: typeof StringValueSchema;
  readonly output: typeof StringValueSchema;
};

/** A service with a method of each kind, whose messages are strings. */
// The descriptor is made below, with these methods.
export const EveryKind = serviceOf() as unknown as GenService<{
  one: TextMethod<'unary'>;
  down: TextMethod<'server_streaming'>;
  up: TextMethod<'client_streaming'>;
  both: TextMethod<'bidi_streaming'>;
}>;

export type FramePairOptions = {
  readonly routes: (router: ConnectRouter) => void;
  readonly clientInterceptors?: Interceptor[];
  readonly serverInterceptors?: Interceptor[];
  readonly values?: () => ContextValues;
  /** Whether the server takes no calls. */
  readonly isDeaf?: boolean;
};

/** A client and a server of frames, with nothing but memory between them. */
export class FramePair {
  readonly transport: Transport;
  readonly socket: FrameSocket;
  /** How the client's side ended. */
  ended: SocketEnd | undefined;
  /** Every frame to the server, then every frame to the client. */
  readonly sent: Uint8Array[] = [];
  readonly answered: Uint8Array[] = [];
  readonly server: FrameServer;
  readonly #wire: FakeWebSocket;

  constructor(options: FramePairOptions) {
    const wire = new FakeWebSocket((data) => this.#onSent(data, options.isDeaf ?? false));
    this.#wire = wire;
    this.server = new FrameServer({
      routes: frameRoutes(options.routes),
      interceptors: options.serverInterceptors ?? [],
      sink: {
        write: (parts, onTaken) => {
          this.answer(Buffer.concat(parts));
          onTaken?.();
        },
      },
    });
    this.#values = options.values ?? createContextValues;
    this.socket = new FrameSocket({
      ...{ url: 'ws://test/socket', authorization: 'Bearer test', clock: systemClock },
      // As much of a WebSocket as is used.
      newWebSocket: () => wire as unknown as WebSocket,
      onOpen: () => {},
      onEnd: (end) => {
        this.ended = end;
      },
    });
    this.transport = new SocketTransport({
      ...{ baseUrl: 'http://test', socket: () => this.socket },
      authorization: () => 'Bearer test',
      ...(options.clientInterceptors && { interceptors: options.clientInterceptors }),
    });
  }

  readonly #values: () => ContextValues;

  /** Sends bytes to the client, a frame or not. */
  answer(bytes: Uint8Array): void {
    this.answered.push(bytes);
    this.#wire.receive(bytes);
  }

  #onSent(bytes: Uint8Array, isDeaf: boolean): void {
    this.sent.push(bytes);
    const frame = decodeFrame(bytes);
    const { stream, body } = frame;
    if (stream !== CONNECTION_STREAM) {
      if (isDeaf) return;
      if (body.case === 'open') {
        const header = fromFrameHeaders(body.value.headers);
        this.server.open(stream, body.value, { header, values: this.#values });
      } else if (!this.server.take(frame)) {
        throw new Error(`the client sent ${body.case}`);
      }
    } else if (body.case === 'hello') {
      this.answer(encodeFrame(CONNECTION_STREAM, { case: 'welcome', value: {} }));
    } else if (body.case === 'credit') {
      this.server.grant(body.value);
    }
  }
}

/** As much of a WebSocket as a client uses. What it sends and gets crosses in turns of their own. */
class FakeWebSocket {
  binaryType = 'blob';
  onopen: (() => void) | undefined;
  onmessage: ((event: { readonly data: ArrayBuffer }) => void) | undefined;
  onclose: ((event: { readonly code: number }) => void) | undefined;
  onerror: (() => void) | undefined;
  readonly #onSent: (bytes: Uint8Array) => void;
  #isClosed = false;

  constructor(onSent: (bytes: Uint8Array) => void) {
    this.#onSent = onSent;
    queueMicrotask(() => this.onopen?.());
  }

  send(bytes: Uint8Array): void {
    const copy = bytes.slice();
    queueMicrotask(() => this.#isClosed || this.#onSent(copy));
  }

  receive(bytes: Uint8Array): void {
    const data = new Uint8Array(bytes).buffer;
    setImmediate(() => this.#isClosed || this.onmessage?.({ data }));
  }

  close(): void {
    this.#isClosed = true;
  }
}

function serviceOf() {
  const method = (name: string, clientStreaming: boolean, serverStreaming: boolean) => ({
    ...{ name, clientStreaming, serverStreaming },
    inputType: `.${StringValueSchema.typeName}`,
    outputType: `.${StringValueSchema.typeName}`,
  });
  const file = create(FileDescriptorProtoSchema, {
    ...{ name: 'test/v1/every_kind.proto', package: 'test.v1', syntax: 'proto3' },
    dependency: [file_google_protobuf_wrappers.proto.name],
    service: [
      {
        name: 'EveryKind',
        method: [
          method('One', false, false),
          method('Down', false, true),
          method('Up', true, false),
          method('Both', true, true),
        ],
      },
    ],
  });
  const set = create(FileDescriptorSetSchema, {
    file: [file_google_protobuf_wrappers.proto, file],
  });
  const service = createFileRegistry(set).getService('test.v1.EveryKind');
  if (!service) throw new Error('the test service is missing');
  return service;
}
