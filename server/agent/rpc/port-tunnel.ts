import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { portOfTunnel, TUNNEL_PROTOCOL, TUNNEL_REFUSAL } from '../../rpc/port-tunnel.ts';
import { listeningAddresses } from '../port/listening-addresses.ts';

/** How long a program may take to accept, in milliseconds. The kernel does it at once, unless its queue is full. */
const ACCEPT_MS = 10_000;
const ACCEPTED = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${TUNNEL_PROTOCOL}\r\n\r\n`;

/** Takes a connection that asks for another protocol than HTTP. */
export type AcceptUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/**
 * Joins connections of the gateway that ask for it to a port of this box: bytes both ways, each
 * side's end included. A port is dialled where the kernel shows a listener, and nowhere else.
 * `others` takes what asks for something else.
 */
export function withTunnels(others: AcceptUpgrade): AcceptUpgrade {
  return (request, socket, head) => {
    if (request.headers.upgrade !== TUNNEL_PROTOCOL) {
      others(request, socket, head);
      return;
    }
    // Without a listener, an error of a connection would end the process.
    socket.on('error', () => {});
    const port = portOfTunnel(request.url);
    if (port === undefined) refuse(socket, 400);
    else void join(port, socket, head);
  };
}

async function join(port: number, socket: Duplex, head: Buffer): Promise<void> {
  const addresses = await listeningAddresses(port);
  for (const host of addresses) {
    const target = await dial(host, port);
    if (!target) continue;
    if (socket.destroyed) target.destroy();
    else splice(socket, target, head);
    return;
  }
  refuse(
    socket,
    addresses.length > 0 ? TUNNEL_REFUSAL.notAnswering : TUNNEL_REFUSAL.nothingListens,
  );
}

function dial(host: string, port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const target = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const cut = setTimeout(() => target.destroy(), ACCEPT_MS);
    target.on('error', () => {});
    target.once('connect', () => {
      clearTimeout(cut);
      resolve(target);
    });
    target.once('close', () => {
      clearTimeout(cut);
      resolve(undefined);
    });
  });
}

function splice(socket: Duplex, target: Socket, head: Buffer): void {
  socket.write(ACCEPTED);
  if (head.length > 0) target.write(head);
  // What was sent before a proper end still arrives.
  socket.once('close', () => (target.writableEnded ? target.destroySoon() : target.destroy()));
  target.once('close', (hadError) => (hadError ? socket.destroy() : socket.end()));
  socket.pipe(target);
  target.pipe(socket);
}

function refuse(socket: Duplex, status: number): void {
  socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
