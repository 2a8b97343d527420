import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { DescMethod } from '@bufbuild/protobuf';
import type { ConnectRouter } from '@connectrpc/connect';
import { CONNECTION_STREAM, decodeFrame, MAX_REQUEST_FRAME_BYTES } from '../../../frames/frame.ts';
import { fromFrameHeaders } from '../../../frames/headers.ts';
import type { Frame } from '../../../gen/computesdk/v1/frame_pb.ts';
import { TerminalService } from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import type { Logger } from '../../core/log.ts';
import { FRAME_LINK_PATH, FRAME_LINK_PROTOCOL } from '../../rpc/frame-link.ts';
import { frameRoutes } from '../../rpc/frame-routes.ts';
import { FrameServer } from '../../rpc/frame-server.ts';
import { FrameSplitter } from '../../rpc/frame-splitter.ts';
import { FrameWriter } from '../../rpc/frame-writer.ts';
import type { FrameSink } from '../../rpc/served-call.ts';
import { type CallLog, FREQUENT } from './call-log.ts';
import { framedCallValues } from './connection.ts';

/** How long the answer to a key waits for the key's echo, to go with it, in milliseconds. */
const HOLD_MS = 1;
const ACCEPTED = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${FRAME_LINK_PROTOCOL}\r\n\r\n`;

export type FrameLinksOptions = {
  /** Registers the services, the same as for HTTP. */
  readonly routes: (router: ConnectRouter) => void;
  readonly calls: Pick<CallLog, 'begin'>;
  readonly shutdownSignal: AbortSignal;
  readonly logger: Logger;
};

/** Takes connections of the gateway over which it sends the calls of one client in frames. */
export function acceptFrameLinks(
  options: FrameLinksOptions,
): (request: IncomingMessage, socket: Duplex, head: Buffer) => void {
  const routes = frameRoutes(options.routes);
  return (request, socket, head) => {
    // Without a listener, an error of a connection would end the process.
    socket.on('error', () => {});
    if (request.headers.upgrade !== FRAME_LINK_PROTOCOL || request.url !== FRAME_LINK_PATH) {
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
      return;
    }
    socket.write(ACCEPTED);
    const { calls, shutdownSignal } = options;
    const sink = new LinkSink(socket);
    const isPatient = ({ name }: DescMethod) =>
      FREQUENT.has(name) || name === TerminalService.method.streamTerminalInput.name;
    const onCall = calls.begin.bind(calls);
    const server = new FrameServer({ routes, onCall, shutdownSignal, sink, isPatient });
    const splitter = new FrameSplitter(MAX_REQUEST_FRAME_BYTES);
    const take = taker(server);
    const onData = (chunk: Buffer) => {
      try {
        for (const bytes of splitter.push(chunk)) take(decodeFrame(bytes));
      } catch (error) {
        options.logger.warn('a link broke the protocol', { error });
        socket.destroy();
      }
    };
    socket.on('close', () => server.close());
    // A gateway that ends its side is gone; the connection would stay half open.
    socket.on('end', () => socket.destroy());
    if (head.length > 0) onData(head);
    socket.on('data', onData);
  };
}

/** What a link does with a frame of the gateway. It throws at one that breaks the protocol. */
function taker(server: FrameServer): (frame: Frame) => void {
  /** Who makes the calls that follow. */
  let principal = new Headers();
  return (frame) => {
    const { stream, body } = frame;
    if (stream === CONNECTION_STREAM) {
      if (body.case === 'head') principal = fromFrameHeaders(body.value.headers);
      else if (body.case === 'credit') server.grant(body.value);
      else throw new Error(`a frame for the connection says ${body.case}`);
      return;
    }
    if (body.case === 'open') {
      server.open(stream, body.value, { header: principal, values: framedCallValues });
    } else if (!server.take(frame)) {
      throw new Error(`a call was sent what it must not be: ${body.case}`);
    }
  };
}

/** What leaves for the gateway. */
class LinkSink implements FrameSink {
  readonly #writer: FrameWriter;
  /** Frames that nobody waits for. */
  #held: (readonly Uint8Array[])[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Duplex) {
    this.#writer = new FrameWriter(socket);
    socket.on('close', () => clearTimeout(this.#timer));
  }

  write(parts: readonly Uint8Array[], onTaken?: () => void): void {
    this.#writer.write(parts, onTaken);
    this.flush();
  }

  writeSoon(parts: readonly Uint8Array[]): void {
    this.#held.push(parts);
    this.#timer ??= setTimeout(() => this.#onTime(), HOLD_MS);
  }

  flush(): void {
    if (this.#held.length === 0) return;
    const held = this.#held;
    this.#held = [];
    for (const parts of held) this.#writer.write(parts);
  }

  /** One timer serves all that is held meanwhile: to clear it and set another costs more than it does. */
  #onTime(): void {
    this.#timer = undefined;
    this.flush();
  }
}
