import type { Http2Session } from 'node:http2';
import type { Clock } from '../../core/clock.ts';
import type { HttpResponse } from '../../rpc/connect-node.ts';
import { reset, resetConnection } from '../../rpc/reset.ts';
import { readReceipt } from './read-receipt.ts';

/** Resets an ended answer unless the system has taken all of it within this time. */
export function requireSending(response: HttpResponse, clock: Clock, withinMs: number): void {
  const cut = clock.setTimer(() => reset(response), withinMs);
  response.once('close', () => cut.clear());
  response.once('finish', () => cut.clear());
}

/**
 * Resets the connection of an ended answer unless the client has read all of it within this time.
 * The system holds megabytes for a client that does not read, and would send them whenever it does.
 */
export function requireReading(response: HttpResponse, clock: Clock, withinMs: number): void {
  if ('stream' in response) {
    const session = response.stream?.session;
    if (session) requirePong({ response, session, clock, withinMs });
    return;
  }
  const { socket } = response;
  if (!socket) return;
  // A client that has read to the end of the connection closes its side.
  response.once('finish', () => socket.end());
  const cut = clock.setTimer(
    () => afterReading(() => !socket.destroyed && resetConnection(socket)),
    withinMs,
  );
  socket.once('close', () => cut.clear());
}

/** The answer to a ping says that everything before it was read. The connection stays open for other calls. */
function requirePong(options: {
  readonly response: HttpResponse;
  readonly session: Http2Session;
  readonly clock: Clock;
  readonly withinMs: number;
}): void {
  const { response, session, clock, withinMs } = options;
  let isRead = false;
  const check = () => {
    if (session.destroyed) return;
    if (!response.writableFinished) reset(response);
    if (!isRead) resetConnection(session.socket);
  };
  const cut = clock.setTimer(() => afterReading(check), withinMs);
  void readReceipt(session).then((wasRead) => {
    isRead = wasRead;
    if (isRead && response.writableFinished) cut.clear();
  });
}

/** Runs a task once everything was read that had arrived: a busy loop is late with timers and with answers alike. */
function afterReading(task: () => void): void {
  setImmediate(() => setImmediate(task));
}
