import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { FRAME_PROTOCOL, MAX_REQUEST_FRAME_BYTES } from '../../../frames/frame.ts';

export type { WebSocket };

/** Close codes of the WebSocket protocol, RFC 6455 section 7.4.1. */
export const CLOSE = { goingAway: 1001, protocolError: 1002, policy: 1008 } as const;

const server = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  maxPayload: MAX_REQUEST_FRAME_BYTES,
  // Compressing what is typed and printed costs more than it saves, and its memory is per connection.
  perMessageDeflate: false,
  handleProtocols: (protocols) => (protocols.has(FRAME_PROTOCOL) ? FRAME_PROTOCOL : false),
});

/** Completes the handshake of a request whose right to it was checked. Refuses a malformed one itself. */
export function acceptWebSocket(
  request: IncomingMessage,
  connection: { readonly socket: Duplex; readonly head: Buffer },
  onOpen: (socket: WebSocket) => void,
): void {
  server.handleUpgrade(request, connection.socket, connection.head, onOpen);
}

/** Refuses a request for a WebSocket. Pages cannot read why; others can. */
export function refuseWebSocket(
  socket: Duplex,
  refusal: { readonly status: number; readonly code: string; readonly message: string },
): void {
  const { status, code, message } = refusal;
  const body = JSON.stringify({ code, message });
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
      'Connection: close',
      'Content-Type: application/json',
      'X-Content-Type-Options: nosniff',
      `Content-Length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n'),
  );
}

/** A connection that `net` made, as all are that a listener accepts. */
export function isSocket(stream: Duplex): stream is Socket {
  return 'remoteAddress' in stream;
}
