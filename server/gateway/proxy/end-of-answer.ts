import type { Http2Session } from 'node:http2';
import type { Clock, Timer } from '../../core/clock.ts';
import type { HttpResponse } from '../../rpc/connect-node.ts';
import { reset, resetConnection } from '../../rpc/reset.ts';
import { afterReading } from './end-of-access.ts';
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
 * Resolves when one of both has happened: from then on nothing more is sent.
 */
export function requireReading(
  response: HttpResponse,
  clock: Clock,
  withinMs: number,
): Promise<void> {
  if ('stream' in response) {
    const session = response.stream?.session;
    return session ? requirePong({ response, session, clock, withinMs }) : Promise.resolve();
  }
  const { socket } = response;
  if (!socket) return Promise.resolve();
  // A client that has read to the end of the connection closes its side.
  response.once('finish', () => socket.end());
  return new Promise((resolve) => {
    const settle = () => {
      cut.clear();
      resolve();
    };
    const check = () => {
      if (!socket.destroyed) resetConnection(socket);
      settle();
    };
    const cut = cutAfterTurn(clock, check, withinMs);
    socket.once('close', settle);
  });
}

/** The answer to a ping says that everything before it was read. The connection stays open for other calls. */
function requirePong(options: {
  readonly response: HttpResponse;
  readonly session: Http2Session;
  readonly clock: Clock;
  readonly withinMs: number;
}): Promise<void> {
  const { response, session, clock, withinMs } = options;
  let isRead = false;
  return new Promise((resolve) => {
    const settle = () => {
      cut.clear();
      resolve();
    };
    const check = () => {
      if (!response.writableFinished) reset(response);
      if (!isRead && !session.destroyed) resetConnection(session.socket);
      settle();
    };
    const cut = cutAfterTurn(clock, check, withinMs);
    const look = () => {
      if (session.destroyed || (isRead && response.writableFinished)) settle();
    };
    response.once('finish', look);
    void readReceipt(session).then((wasRead) => {
      isRead = wasRead;
      look();
    });
  });
}

/** Ending many calls takes a turn of its own, which no client can be blamed for. */
function cutAfterTurn(clock: Clock, cut: () => void, withinMs: number): Timer {
  let timer: Timer | undefined;
  const turn = setImmediate(() => {
    timer = clock.setTimer(() => afterReading(cut), withinMs);
  });
  return {
    clear: () => {
      clearImmediate(turn);
      timer?.clear();
    },
  };
}
