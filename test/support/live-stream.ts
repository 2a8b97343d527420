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
import { contentTypeOf, envelope } from './raw-call.ts';
import { within } from './until.ts';

/** The protocols of a stream. gRPC goes over h2c, the others over HTTP/1.1. */
export type LiveProtocol = 'connect-stream' | 'grpc' | 'grpc-web';

export const LIVE_PROTOCOLS: readonly LiveProtocol[] = ['connect-stream', 'grpc', 'grpc-web'];

export type LiveStreamOptions = {
  /** Address of the sandbox. */
  readonly url: string;
  /** What says who calls. */
  readonly headers: Readonly<Record<string, string>>;
  readonly terminalId: string;
  readonly protocol: LiveProtocol;
};

/** `end`: as the protocol ends a stream. `broken`: by a reset, or by the end of the connection. */
type Outcome = 'end' | 'broken';

const PATH = '/computesdk.v1.TerminalService/AttachTerminal';

/** A terminal's stream on a socket of its own that is watched byte by byte, without any help of a client library. */
export class LiveStream {
  /** When the socket gave its last byte, on this process's monotonic clock. */
  lastByteAt = 0;
  bytes = 0;
  /** How the stream ended. Undefined while it is open. */
  outcome: Outcome | undefined;
  /** Bytes of the connection that came after the stream's end. HTTP/1.1 only: HTTP/2 shares it. */
  bytesAfterEnd = 0;
  /** The error that the stream ended with, in its protocol. */
  error: ConnectError | undefined;
  /** Of the socket: `ECONNRESET` when the connection was reset. */
  socketError = '';
  readonly protocol: LiveProtocol;
  readonly messages: EnvelopeReader;
  /** Resolves when the stream has ended, or its connection. */
  readonly ended: Promise<void>;
  /** Called with every piece that arrives. */
  onBytes: () => void = () => {};
  readonly #socket: Socket;
  #session: ClientHttp2Session | undefined;
  #settle: () => void = () => {};
  #noteFirst: () => void = () => {};

  private constructor(socket: Socket, protocol: LiveProtocol) {
    this.#socket = socket;
    this.protocol = protocol;
    this.messages = new EnvelopeReader();
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
    const stream = new LiveStream(socket, options.protocol);
    const first = new Promise<void>((resolve) => {
      stream.#noteFirst = resolve;
    });
    if (options.protocol === 'grpc') stream.#openHttp2(options);
    else stream.#openHttp1(options);
    const begun = Promise.race([first, stream.ended]);
    await within(begun, { what: 'the first message of a stream', withinMs: 30_000 });
    return stream;
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

  #openHttp1({ url, headers, terminalId, protocol }: LiveStreamOptions): void {
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

  #openHttp2({ url, headers, terminalId, protocol }: LiveStreamOptions): void {
    const { origin, pathname } = new URL(url);
    const session = connectHttp2(origin, { createConnection: () => this.#watched() });
    this.#session = session;
    session.on('error', () => {});
    const call = session.request({
      ':method': 'POST',
      ':path': `${pathname}${PATH}`,
      te: 'trailers',
      ...callHeaders(protocol, headers),
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
    // What comes after the end on HTTP/2 is about the connection, such as the answer to a ping.
    if (this.outcome !== undefined && this.protocol === 'grpc') return;
    this.lastByteAt = performance.now();
    this.bytes += bytes.length;
  }

  #takeBody(bytes: Buffer): void {
    this.messages.push(bytes);
    if (this.messages.complete > 0) this.#noteFirst();
    this.onBytes();
  }

  #errorOfLast(): ConnectError | undefined {
    const { last } = this.messages;
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
  return envelope(
    toBinary(AttachTerminalRequestSchema, create(AttachTerminalRequestSchema, { terminalId })),
  );
}

function callHeaders(protocol: LiveProtocol, headers: LiveStreamOptions['headers']) {
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
