import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { create, toBinary } from '@bufbuild/protobuf';
import type { ConnectError } from '@connectrpc/connect';
import { endStreamFromJson } from '@connectrpc/connect/protocol-connect';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { trailerParse } from '@connectrpc/connect/protocol-grpc-web';
import { ErrorDetailSchema, ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { AttachTerminalRequestSchema } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { EnvelopeReader } from './envelope-reader.ts';
import { HttpTracker } from './http-tracker.ts';
import { LiveFrames } from './live-frames.ts';
import { contentTypeOf, envelope } from './raw-call.ts';
import { within } from './until.ts';

/** The protocols of a stream. gRPC goes over h2c, others over HTTP/1.1, and frames over a WebSocket. */
export type LiveProtocol = 'connect-stream' | 'grpc' | 'grpc-web' | 'websocket';

export const LIVE_PROTOCOLS: readonly LiveProtocol[] = [
  'connect-stream',
  'grpc',
  'grpc-web',
  'websocket',
];

export type LiveStreamOptions = {
  /** Address of the sandbox. */
  readonly url: string;
  /** What says who calls. */
  readonly headers: Readonly<Record<string, string>>;
  readonly terminalId: string;
  readonly protocol: LiveProtocol;
  /** How many calls the connection carries, which end together. More than one on a WebSocket only. Default: 1. */
  readonly calls?: number;
};

/** What has come of a stream's messages. */
export interface MessageProgress {
  /** Whole messages so far. */
  readonly complete: number;
  /** The largest so far, in bytes. */
  readonly largest: number;
  /** Whether the last byte was inside of an envelope or frame. */
  readonly isInside: boolean;
  /** How many bytes of the message under way have come, and how many it has. */
  readonly progress: { readonly taken: number; readonly size: number };
}

/** `end`: as the protocol ends a stream. `broken`: by a reset, or by the end of the connection. */
type Outcome = 'end' | 'broken';

const METHOD = 'TerminalService/AttachTerminal';
const PATH = `/computesdk.v1.${METHOD}`;

/** A terminal's stream on a socket of its own that is watched byte by byte, without any help of a client library. */
export class LiveStream {
  /** When the socket gave its last byte, on this process's monotonic clock. */
  lastByteAt = 0;
  bytes = 0;
  /** How the stream ended. Undefined while it is open. */
  outcome: Outcome | undefined;
  /**
   * Bytes that came after the stream's end: of the connection on HTTP/1.1, in frames on a WebSocket.
   * HTTP/2 shares the connection.
   */
  bytesAfterEnd = 0;
  /** The error that the stream ended with, in its protocol. */
  error: ConnectError | undefined;
  /** Of the socket: `ECONNRESET` when the connection was reset. */
  socketError = '';
  readonly protocol: LiveProtocol;
  /** How many calls the connection carries. */
  readonly calls: number;
  /** Resolves when the stream has ended, or its connection. */
  readonly ended: Promise<void>;
  /** Called with every piece that arrives. */
  onBytes: () => void = () => {};
  readonly #socket: Socket;
  readonly #envelopes = new EnvelopeReader();
  #frames: LiveFrames | undefined;
  #session: ClientHttp2Session | undefined;
  #settle: () => void = () => {};
  #noteFirst: () => void = () => {};

  private constructor(socket: Socket, { protocol, calls = 1 }: LiveStreamOptions) {
    this.#socket = socket;
    this.protocol = protocol;
    this.calls = calls;
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.socketError = error.code ?? error.message;
    });
    socket.on('close', () => this.#end('broken'));
  }

  /** Resolves with the stream's first message, or when it was refused. */
  static async open(options: LiveStreamOptions): Promise<LiveStream> {
    const { hostname, port } = new URL(options.url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    const stream = new LiveStream(socket, options);
    const first = new Promise<void>((resolve) => {
      stream.#noteFirst = resolve;
    });
    const { protocol } = options;
    if (protocol === 'grpc') stream.#openHttp2(options);
    else if (protocol === 'websocket') stream.#openWebSocket(options);
    else stream.#openHttp1(options, protocol);
    const begun = Promise.race([first, stream.ended]);
    await within(begun, { what: 'the first message of a stream', withinMs: 30_000 });
    return stream;
  }

  get messages(): MessageProgress {
    return this.#frames ?? this.#envelopes;
  }

  /** The typed reason of the stream's end. */
  get reason(): string | undefined {
    const reason = this.error?.findDetails(ErrorDetailSchema)[0]?.reason;
    return Object.entries(ErrorReason).find(([, value]) => value === reason)?.[0];
  }

  /** Takes nothing more from the socket. */
  stall(): void {
    this.#socket.pause();
  }

  /** Reads again. */
  go(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#session?.destroy();
    this.#socket.destroy();
  }

  #openHttp1(
    { url, headers, terminalId }: LiveStreamOptions,
    protocol: 'connect-stream' | 'grpc-web',
  ): void {
    const tracker = new HttpTracker({
      onHead: ({ startLine }) => {
        if (!startLine.includes(' 200 ')) throw new Error(`the stream was refused: ${startLine}`);
      },
      onBody: (bytes) => this.#takeBody(bytes),
      onEnd: () => {
        this.error = this.#errorOfLast();
        this.#end('end');
      },
    });
    this.#socket.on('data', (bytes) => {
      if (this.outcome !== undefined) this.bytesAfterEnd += bytes.length;
      this.#note(bytes);
      if (this.outcome === undefined) tracker.push(bytes);
    });
    const { host, pathname } = new URL(url);
    const body = attachBody(terminalId);
    const fields = { host, ...callHeaders(protocol, headers), 'content-length': `${body.length}` };
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#socket.write(`POST ${pathname}${PATH} HTTP/1.1\r\n${lines.join('')}\r\n`);
    this.#socket.write(body);
  }

  #openHttp2({ url, headers, terminalId }: LiveStreamOptions): void {
    const { origin, pathname } = new URL(url);
    const session = connectHttp2(origin, { createConnection: () => this.#watched() });
    this.#session = session;
    session.on('error', () => {});
    const call = session.request({
      ':method': 'POST',
      ':path': `${pathname}${PATH}`,
      te: 'trailers',
      ...callHeaders('grpc', headers),
    });
    let status: Headers | undefined;
    call.on('response', (fields) => {
      if (fields['grpc-status'] !== undefined) status = headersOf(fields);
    });
    call.on('trailers', (fields) => {
      status = headersOf(fields);
    });
    call.on('data', (bytes: Buffer) => this.#takeBody(bytes));
    call.on('error', () => {});
    call.on('close', () => {
      this.error = status && findTrailerError(status);
      this.#end(status ? 'end' : 'broken');
    });
    call.end(attachBody(terminalId));
  }

  #openWebSocket({ url, headers, terminalId }: LiveStreamOptions): void {
    const frames = new LiveFrames({ url, headers, socket: this.#socket }, this.calls);
    this.#frames = frames;
    this.#socket.on('data', (bytes) => {
      this.#note(bytes);
      frames.take(bytes);
      this.bytesAfterEnd = frames.bytesAfterEnd;
      if (frames.haveBegun) this.#noteFirst();
      if (frames.isOver) {
        this.error ??= frames.error;
        this.#end('end');
      }
      this.onBytes();
    });
    for (let call = 0; call < this.calls; call++) frames.open(METHOD, attachMessage(terminalId));
  }

  /** The socket as HTTP/2 sees it: each piece is noted before it is passed on. */
  #watched(): Duplex {
    const socket = this.#socket;
    const duplex = new Duplex({
      read: () => {},
      write: (bytes: Buffer, _encoding, done) => void socket.write(bytes, done),
      final: (done) => void socket.end(done),
    });
    socket.on('data', (bytes) => {
      this.#note(bytes);
      duplex.push(bytes);
    });
    socket.on('close', () => duplex.destroy());
    return duplex;
  }

  #note(bytes: Buffer): void {
    // What comes after the end is about the connection, such as the answer to a ping on HTTP/2.
    const isShared = this.protocol === 'grpc' || this.protocol === 'websocket';
    if (this.outcome !== undefined && isShared) return;
    this.lastByteAt = performance.now();
    this.bytes += bytes.length;
  }

  #takeBody(bytes: Buffer): void {
    this.#envelopes.push(bytes);
    if (this.#envelopes.complete > 0) this.#noteFirst();
    this.onBytes();
  }

  #errorOfLast(): ConnectError | undefined {
    const { last } = this.#envelopes;
    if (!last) return undefined;
    return this.protocol === 'grpc-web'
      ? findTrailerError(trailerParse(last))
      : endStreamFromJson(last).error;
  }

  #end(outcome: Outcome): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.#settle();
  }
}

function attachBody(terminalId: string): Buffer {
  return envelope(attachMessage(terminalId));
}

function attachMessage(terminalId: string): Uint8Array {
  const message = create(AttachTerminalRequestSchema, { terminalId });
  return toBinary(AttachTerminalRequestSchema, message);
}

function callHeaders(
  protocol: Exclude<LiveProtocol, 'websocket'>,
  headers: LiveStreamOptions['headers'],
) {
  return {
    'content-type': contentTypeOf(protocol),
    ...(protocol === 'connect-stream' && { 'connect-protocol-version': '1' }),
    ...headers,
  };
}

function headersOf(fields: Readonly<Record<string, unknown>>): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string' && !name.startsWith(':')) headers.set(name, value);
  }
  return headers;
}
