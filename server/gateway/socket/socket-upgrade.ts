import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { SOCKET_PATH } from '../../../frames/frame.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { ClientAddresses } from '../http/client-address.ts';
import type { HostGuard } from '../http/host-guard.ts';
import { SANDBOX_PREFIX } from '../http/http-handler.ts';
import type { OriginGuard } from '../http/origin-guard.ts';
import { credentialInQuery } from '../http/query-guard.ts';
import type { UpgradeHandler } from '../http/upgrade.ts';
import { parseSandboxAddress } from '../proxy/sandbox-address.ts';
import { ClientSocket } from './client-socket.ts';
import type { SocketServices } from './socket-services.ts';
import { acceptWebSocket, isSocket, refuseWebSocket } from './web-socket.ts';

/** WebSockets of one address (IPv6: of one /64 network) that have not said who they are. More are refused. */
export const MAX_UNKNOWN_SOCKETS = 64;

export type SocketUpgradeOptions = {
  readonly hostGuard: HostGuard;
  readonly originGuard: OriginGuard;
  readonly clients: ClientAddresses;
  readonly services: SocketServices;
  readonly stopping: AbortSignal;
};

/** Opens WebSockets to sandboxes. Nothing that a client sends makes it throw. */
export function createSocketUpgrade(options: SocketUpgradeOptions): UpgradeHandler {
  const unknown = new Map<string, number>();
  return (request, socket, head, onSpoke) => {
    // Without a listener, an error of a connection would end the process.
    socket.on('error', () => {});
    try {
      const refusal = open(options, unknown, { request, socket, head, onSpoke });
      if (refusal) refuseWebSocket(socket, refusal);
    } catch (error) {
      const message = error instanceof DomainError ? error.message : 'internal error';
      refuseWebSocket(socket, { status: 400, code: 'invalid_argument', message });
    }
  };
}

type Upgrade = {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly onSpoke: () => void;
};

type Refusal = Parameters<typeof refuseWebSocket>[1];

function open(
  options: SocketUpgradeOptions,
  unknown: Map<string, number>,
  { request, socket, head, onSpoke }: Upgrade,
): Refusal | undefined {
  const host = options.hostGuard.check(request);
  if (host) return refusal(host.status, host.error);
  const { origin, cookie } = request.headers;
  const standing = options.originGuard.standingOf(origin);
  if (standing instanceof DomainError) return refusal(403, standing);
  const credential = credentialInQuery(request.url ?? '');
  if (credential) return refusal(400, credential);
  const target = request.url ?? '';
  if (!target.startsWith(SANDBOX_PREFIX)) return nothingHere();
  const { sandboxId, path } = parseSandboxAddress(target, SANDBOX_PREFIX);
  if (path !== SOCKET_PATH) return nothingHere();
  if (options.stopping.aborted)
    return { status: 503, code: 'unavailable', message: 'shutting down' };
  if (!isSocket(socket)) return nothingHere();
  const address = options.clients.of(request);
  const count = unknown.get(address.bucket) ?? 0;
  if (count >= MAX_UNKNOWN_SOCKETS) {
    const message = `more than ${MAX_UNKNOWN_SOCKETS} WebSockets of your address have not said who they are`;
    return { status: 429, code: 'resource_exhausted', message };
  }
  unknown.set(address.bucket, count + 1);
  const forget = once(() => {
    const left = (unknown.get(address.bucket) ?? 1) - 1;
    if (left > 0) unknown.set(address.bucket, left);
    else unknown.delete(address.bucket);
  });
  socket.once('close', forget);
  acceptWebSocket(request, { socket, head }, (webSocket) => {
    ClientSocket.serve(options.services, {
      ...{ sandboxId, webSocket, socket, origin, client: () => address },
      cookie: standing === 'listed' ? cookie : undefined,
      onKnown: () => {
        forget();
        onSpoke();
      },
    });
  });
  return undefined;
}

function refusal(status: number, { message }: DomainError): Refusal {
  const code = status === 403 ? 'permission_denied' : 'invalid_argument';
  return { status, code, message };
}

function nothingHere(): Refusal {
  const message = `WebSockets are at ${SANDBOX_PREFIX}<sandbox id>${SOCKET_PATH}`;
  return { status: 404, code: 'not_found', message };
}

function once(task: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) task();
    isDone = true;
  };
}
