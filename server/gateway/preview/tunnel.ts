import { type ClientRequest, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { DomainError } from '../../core/domain-error.ts';
import { TUNNEL_PROTOCOL, TUNNEL_REFUSAL, tunnelPath } from '../../rpc/port-tunnel.ts';

/** How long an agent may take to join a tunnel, in milliseconds. It gives the program 10 s to accept. */
const JOIN_MS = 15_000;
/** The most bytes of the headers that an agent accepts a tunnel with. */
const MAX_HEADER_BYTES = 16 * 1024;

/** Why nothing can be had from a port. */
export class PortError extends Error {
  readonly why: 'nothing listens' | 'not answering' | 'old agent';

  constructor(why: PortError['why']) {
    super(why);
    this.why = why;
  }
}

export type TunnelOptions = {
  readonly socketPath: string;
  readonly port: number;
  /** Whether each side may end while the other goes on. */
  readonly allowHalfOpen: boolean;
};

/** Connects to a port inside a sandbox, by its agent. Throws PortError, or AGENT_UNAVAILABLE. */
export function openTunnel(options: TunnelOptions): Promise<Socket> {
  const { socketPath, port, allowHalfOpen } = options;
  const call = request({
    // The agent answers for the port: what is dialled is never an address.
    createConnection: () => connect({ path: socketPath, allowHalfOpen }),
    path: tunnelPath(port),
    headers: { host: 'sandbox', connection: 'Upgrade', upgrade: TUNNEL_PROTOCOL },
    maxHeaderSize: MAX_HEADER_BYTES,
    timeout: JOIN_MS,
  });
  const joined = join(call);
  call.end();
  return joined;
}

function join(call: ClientRequest): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      call.destroy();
      reject(error);
    };
    call.on('error', (error) => fail(unavailable(error)));
    call.on('timeout', () => fail(unavailable()));
    call.on('information', () => fail(unavailable()));
    call.on('response', ({ statusCode }) => fail(refusal(statusCode)));
    call.on('upgrade', (_response, stream: Duplex, head: Buffer) => {
      // A connection that `net` made.
      const socket = stream as Socket;
      socket.setTimeout(0);
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
  });
}

function refusal(status: number | undefined): Error {
  switch (status) {
    case TUNNEL_REFUSAL.nothingListens:
      return new PortError('nothing listens');
    case TUNNEL_REFUSAL.notAnswering:
      return new PortError('not answering');
    case 400:
      return new PortError('old agent');
    default:
      return unavailable();
  }
}

function unavailable(cause?: unknown): DomainError {
  return new DomainError('AGENT_UNAVAILABLE', 'the connection to the sandbox broke', { cause });
}
