import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  CONNECTION_STREAM,
  decodeFrame,
  encodeFrame,
  FRAME_PROTOCOL,
  type FrameBody,
  SOCKET_PATH,
} from '../../frames/frame.ts';
import type { Frame } from '../../gen/computesdk/v1/frame_pb.ts';
import {
  OPCODE,
  type WebSocketFrame,
  WebSocketReader,
  webSocketFrame,
} from './web-socket-frames.ts';

export type RawWebSocketParts = {
  /** Made and watched by its owner, who passes everything that it gives to {@link RawWebSocket.take}. */
  readonly socket: Socket;
  /** Address of the sandbox. */
  readonly url: string;
  /** What says who calls: an Authorization header is said in the hello, as it must be. */
  readonly headers: Readonly<Record<string, string>>;
  readonly onFrame: (frame: Frame) => void;
};

const HEAD_END = '\r\n\r\n';
/** Credit is granted in pieces of at least this size, in bytes. */
const GRANT_BYTES = 32 * 1024;

/** A client's end of a WebSocket with frames, byte by byte, without any help of a client library. */
export class RawWebSocket {
  readonly reader: WebSocketReader = new WebSocketReader();
  /** Whether the gateway has said that the connection is over. */
  hasEnded = false;
  readonly #parts: RawWebSocketParts;
  /** What has come of the answer to the handshake. Undefined once that is complete. */
  #head: Buffer | undefined = Buffer.alloc(0);
  /** What is sent once the handshake is complete. */
  readonly #waiting: Buffer[] = [];
  #lastStream = 0;
  /** What came and was not granted again, by stream. */
  readonly #taken = new Map<number, number>();

  constructor(parts: RawWebSocketParts) {
    this.#parts = parts;
    const { authorization = '', ...headers } = parts.headers;
    const { host, pathname } = new URL(parts.url);
    const fields = {
      ...{ host, connection: 'Upgrade', upgrade: 'websocket' },
      'sec-websocket-key': randomBytes(16).toString('base64'),
      'sec-websocket-version': '13',
      'sec-websocket-protocol': FRAME_PROTOCOL,
      ...headers,
    };
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    parts.socket.write(`GET ${pathname}${SOCKET_PATH} HTTP/1.1\r\n${lines.join('')}\r\n`);
    this.send(CONNECTION_STREAM, { case: 'hello', value: { authorization } });
  }

  /** Says what the calls from now on are made with. */
  renew(authorization: string): void {
    this.send(CONNECTION_STREAM, { case: 'credential', value: { authorization } });
  }

  /** Opens a call. What comes of it are frames of the stream that is returned. */
  open(
    method: string,
    message: Uint8Array,
    headers: Readonly<Record<string, string>> = {},
  ): number {
    this.#lastStream += 1;
    const fields = Object.entries(headers).map(([name, value]) => ({ name, value }));
    const value = { method: `/computesdk.v1.${method}`, headers: fields, message, finished: true };
    this.send(this.#lastStream, { case: 'open', value });
    return this.#lastStream;
  }

  send(stream: number, body: FrameBody): void {
    this.#write(webSocketFrame(OPCODE.binary, encodeFrame(stream, body), 'client'));
  }

  /** Takes what the socket gave. Throws at a refused handshake and at what is no frame. */
  take(bytes: Buffer): void {
    for (const frame of this.reader.push(this.#afterHead(bytes))) this.#onFrame(frame);
  }

  #afterHead(bytes: Buffer): Buffer {
    if (!this.#head) return bytes;
    this.#head = Buffer.concat([this.#head, bytes]);
    const end = this.#head.indexOf(HEAD_END);
    if (end < 0) return Buffer.alloc(0);
    const head = this.#head;
    if (!/^HTTP\/1\.1 101 /.test(head.toString('latin1')))
      throw new Error(`the WebSocket was refused: ${head.toString('latin1', 0, end)}`);
    this.#head = undefined;
    for (const frame of this.#waiting.splice(0)) this.#write(frame);
    return head.subarray(end + HEAD_END.length);
  }

  #onFrame({ opcode, payload }: WebSocketFrame): void {
    if (opcode === OPCODE.ping) this.#write(webSocketFrame(OPCODE.pong, payload, 'client'));
    if (opcode === OPCODE.close) {
      this.#write(webSocketFrame(OPCODE.close, payload, 'client'));
      this.#parts.socket.end();
    }
    if (opcode !== OPCODE.binary) return;
    const frame = decodeFrame(payload);
    const { stream, body } = frame;
    if (body.case === 'message') {
      this.#grant(stream, body.value.length);
      this.#grant(CONNECTION_STREAM, body.value.length);
    }
    this.#parts.onFrame(frame);
    if (body.case === 'ended') this.hasEnded = true;
  }

  #write(frame: Buffer): void {
    if (this.#head) this.#waiting.push(frame);
    else if (this.#parts.socket.writable) this.#parts.socket.write(frame);
  }

  #grant(stream: number, bytes: number): void {
    const taken = (this.#taken.get(stream) ?? 0) + bytes;
    const isDue = taken >= GRANT_BYTES;
    this.#taken.set(stream, isDue ? 0 : taken);
    if (isDue) this.send(stream, { case: 'credit', value: taken });
  }
}
