import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { HttpRequest } from '../../rpc/connect-node.ts';

/** Connections of HTTP/1.1 whose request may take longer to arrive than others may. */
const patient = new WeakSet<Duplex>();

/** Lets the body of a request over HTTP/1.1 take as long as it likes. Whoever calls this watches it. */
export function allowSlowBody(request: HttpRequest): void {
  if ('stream' in request) return;
  const { socket } = request;
  patient.add(socket);
  request.once('close', () => patient.delete(socket));
}

/** What Node.js does where nobody listens, for all but requests that may be slow. */
export function onClientError(error: NodeJS.ErrnoException, stream: Duplex): void {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && patient.has(stream)) return;
  // A connection that a listener accepted.
  const socket = stream as Socket;
  const answer = Reflect.get(socket, '_httpMessage');
  const hasBegun = typeof answer === 'object' && answer !== null && answer.headersSent;
  if (socket.writable && !hasBegun) {
    socket.write(`HTTP/1.1 ${statusOf(error.code)}\r\nConnection: close\r\n\r\n`);
  }
  socket.destroySoon();
}

function statusOf(code: string | undefined): string {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return '431 Request Header Fields Too Large';
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return '413 Payload Too Large';
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return '408 Request Timeout';
    default:
      return '400 Bad Request';
  }
}
