import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/**
 * Takes a request to change the protocol, and its connection. It calls `onSpoke` when the connection
 * is no stranger any more.
 */
export type UpgradeHandler = (
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  onSpoke: () => void,
) => void;

/** Refuses every change of protocol. */
export const refuseUpgrade: UpgradeHandler = (_request, socket) => {
  socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
};
