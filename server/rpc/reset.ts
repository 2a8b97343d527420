import { constants } from 'node:http2';
import type { Socket } from 'node:net';
import type { HttpResponse } from './connect-node.ts';

/** Leads from a TLS socket to the connection that carries it. Also through the stand-in that HTTP/2 shows of a socket. */
const CARRIER = Symbol('the connection below TLS');

/**
 * Ends an answer at once, in a way that no client takes for its proper end. What was not sent yet is
 * dropped, with HTTP/1.1 also what the system holds for a client that does not read.
 */
export function reset(response: HttpResponse): void {
  // Destroying an HTTP/2 response would reset its stream with NO_ERROR, which reads like an end.
  if ('stream' in response) {
    response.stream?.close(constants.NGHTTP2_CANCEL);
    return;
  }
  if (response.socket) resetConnection(response.socket);
  response.destroy();
}

/**
 * Ends a connection at once. Closing it would let the system send on what the client has not read
 * yet, megabytes of it and for as long as the client likes.
 */
export function resetConnection(socket: Socket): void {
  const carrier: unknown = Reflect.get(socket, CARRIER);
  // Only `carriedBy` sets it.
  const connection = (carrier as Socket | undefined) ?? socket;
  // While its end is under way a reset fails in libuv, and the handle would stay open for ever.
  if (connection.writableEnded && !connection.writableFinished) connection.destroy();
  else connection.resetAndDestroy();
}

/** Remembers the connection below a TLS socket, which is what can be reset. */
export function carriedBy(tls: Socket, carrier: Socket): void {
  Reflect.set(tls, CARRIER, carrier);
}
