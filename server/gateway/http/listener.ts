import {
  createServer as createHttp1Server,
  Server as Http1Server,
  type IncomingMessage,
} from 'node:http';
import {
  createServer as createHttp2Server,
  createSecureServer,
  type Http2SecureServer,
} from 'node:http2';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { DomainError } from '../../core/domain-error.ts';
import type { HttpHandler } from '../../rpc/connect-node.ts';
import { carriedBy } from '../../rpc/reset.ts';
import { onClientError } from './client-errors.ts';
import { http2Options, limitHeaders, limitHttp2, MAX_HEADER_BYTES } from './http2-limits.ts';
import { SilentConnections } from './silent-connections.ts';
import { sniffHttp2 } from './sniff.ts';
import { refuseUpgrade, type UpgradeHandler } from './upgrade.ts';

/** The most connections on one address. More are closed at once. */
const MAX_CONNECTIONS = 8_192;
/**
 * New connections that the system keeps for a moment in which the process is busy, as far as its own
 * limit allows. It drops the first packet of one more, whose client tries again a second later.
 */
const MAX_WAITING_CONNECTIONS = 4_096;
/** How long connections may take to end by themselves when the listener closes. */
const CLOSE_GRACE_MS = 250;
/** After this much silence the system probes whether a peer still exists. */
const TCP_PROBE_MS = 15_000;
/** Free ports tried until one is free on every address. */
const PORT_ATTEMPTS = 10;

/** What a slow or idle client may do, in milliseconds. */
export type ListenerTimes = {
  /** How long a new connection may take to say what it speaks. Default: 5 s. */
  readonly sniffMs: number;
  /** How long a request may take to arrive, and a new HTTP/2 connection to make one. Default: 13 s. */
  readonly requestMs: number;
  /** How often requests over HTTP/1.1 are checked for that. Default: 1 s. */
  readonly checkMs: number;
  /** How long a connection may stay open without a call. Default: 30 s. */
  readonly idleMs: number;
};

/** A request that takes too long is cut within 15 s, the interval of the check and a busy moment included. */
const TIMES: ListenerTimes = { sniffMs: 5_000, requestMs: 13_000, checkMs: 1_000, idleMs: 30_000 };

export type ListenerOptions = {
  /** Addresses to listen on, all with the same port. Only the first one must exist. */
  readonly hosts: readonly string[];
  /** 0 picks a free one. */
  readonly port: number;
  readonly handler: HttpHandler;
  /** Takes requests to change the protocol. Default: they are refused. */
  readonly upgrade?: UpgradeHandler;
  /** Certificate chain and private key, as PEM. Absent: cleartext HTTP/1.1 and HTTP/2 on one port. */
  readonly tls?: TlsFiles;
  readonly times?: Partial<ListenerTimes>;
  /** Whether an address is that of a trusted proxy, behind which there are many clients. Default: none is. */
  readonly isTrustedProxy?: (address: string) => boolean;
};

type TlsFiles = { readonly certificate: string | Buffer; readonly key: string | Buffer };

/** Accepts connections. */
export interface Listener {
  readonly port: number;
  /** Stops accepting, lets answers that are on their way go out, then ends every connection. Idempotent. */
  close(): Promise<void>;
}

/** Starts to listen. Throws BAD_SETTING when the address cannot be had. */
export async function createListener(options: ListenerOptions): Promise<Listener> {
  const sockets = new Set<Socket>();
  const times = { ...TIMES, ...options.times };
  const silent = new SilentConnections(options.isTrustedProxy ?? (() => false));
  const handler: HttpHandler = (request, response) => {
    silent.onRequest(request);
    options.handler(request, response);
  };
  const factory = options.tls
    ? secureServers(handler, options.tls, times)
    : cleartextServers(handler, times);
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const serve = options.upgrade ?? refuseUpgrade;
    serve(request, socket, head, () => silent.onRequest(request));
  };
  const servers = await listenOnAll(options, () => {
    const server = track(factory(), sockets, silent);
    return server.on('upgrade', upgrade).on('clientError', onClientError);
  });
  let closed: Promise<void> | undefined;
  return {
    port: portOf(servers[0]),
    close: () => {
      closed ??= closeAll(servers, sockets);
      return closed;
    },
  };
}

/** HTTP/1.1 servers that hand connections which speak HTTP/2 to a second server. */
function cleartextServers(handler: HttpHandler, times: ListenerTimes): () => Server {
  const http2 = createHttp2Server(http2Options(), limitHeaders(handler));
  limitHttp2(http2, times);
  return () => {
    const http1 = createHttp1Server(http1Options(times), handler);
    // The server's own listener takes a connection for HTTP/1.1; it comes after the look at the bytes.
    const serveHttp1 = http1.listeners('connection');
    http1.removeAllListeners('connection');
    http1.on('connection', (socket: Socket) => {
      sniffHttp2(socket, times.sniffMs, (isHttp2) => {
        if (isHttp2) {
          // A client that ends its side of an HTTP/2 connection has left.
          socket.allowHalfOpen = false;
          http2.emit('connection', socket);
        } else {
          for (const serve of serveHttp1) serve.call(http1, socket);
        }
      });
    });
    return http1;
  };
}

function secureServers(handler: HttpHandler, tls: TlsFiles, times: ListenerTimes): () => Server {
  return () => {
    const server: Http2SecureServer = createSecureServer(
      {
        ...http2Options(),
        allowHTTP1: true,
        http1Options: http1Options(times),
        cert: tls.certificate,
        key: tls.key,
        minVersion: 'TLSv1.2',
        handshakeTimeout: times.sniffMs,
      },
      limitHeaders(handler),
    );
    limitHttp2(server, times);
    noteCarriers(server);
    return server;
  };
}

/** Tells which connection carries each TLS socket. */
function noteCarriers(server: Http2SecureServer): void {
  const handshakes = new Map<number | undefined, Socket>();
  server.on('connection', (socket: Socket) => {
    const port = socket.remotePort;
    handshakes.set(port, socket);
    socket.once('close', () => {
      if (handshakes.get(port) === socket) handshakes.delete(port);
    });
  });
  server.on('secureConnection', (socket) => {
    const carrier = handshakes.get(socket.remotePort);
    if (carrier) carriedBy(socket, carrier);
  });
}

function http1Options(times: ListenerTimes) {
  return {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: times.requestMs,
    requestTimeout: times.requestMs,
    connectionsCheckingInterval: times.checkMs,
    keepAliveTimeout: times.idleMs,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: TCP_PROBE_MS,
    // A missing host is answered by our own guard, with a sentence.
    requireHostHeader: false,
  };
}

function track<S extends Server>(server: S, sockets: Set<Socket>, silent: SilentConnections): S {
  server.maxConnections = MAX_CONNECTIONS;
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    silent.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return server;
}

async function listenOnAll(options: ListenerOptions, create: () => Server): Promise<Server[]> {
  for (let attempt = 1; ; attempt += 1) {
    const servers: Server[] = [];
    try {
      for (const host of options.hosts) {
        const port = servers.length > 0 ? portOf(servers[0]) : options.port;
        const server = create();
        if (await listen(server, { host, port, optional: servers.length > 0 }))
          servers.push(server);
      }
      return servers;
    } catch (error) {
      await Promise.all(servers.map(closeServer));
      const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
      if (taken && options.port === 0 && attempt < PORT_ATTEMPTS) continue;
      throw badAddress(options, error);
    }
  }
}

/** Returns false for an optional address that this machine does not have. */
function listen(
  server: Server,
  at: { readonly host: string; readonly port: number; readonly optional: boolean },
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    // Stays: an error while accepting, such as too many open files, must not end the process.
    server.on('error', (error: NodeJS.ErrnoException) => {
      const missing = error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT';
      if (missing && at.optional) resolve(false);
      else reject(error);
    });
    server.listen({ host: at.host, port: at.port, backlog: MAX_WAITING_CONNECTIONS }, () =>
      resolve(true),
    );
  });
}

function badAddress(options: ListenerOptions, cause: unknown): DomainError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
  const address = `${options.hosts.join(' and ')}, port ${options.port}`;
  const why = code === 'EADDRINUSE' ? 'another process listens there' : code;
  return new DomainError('BAD_SETTING', `HOST, PORT: cannot listen on ${address}: ${why}`, {
    cause,
  });
}

function portOf(server: Server | undefined): number {
  const address = server?.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function closeAll(servers: readonly Server[], sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = Promise.all(servers.map(closeServer));
  const cut = setTimeout(() => {
    for (const socket of sockets) socket.destroy();
  }, CLOSE_GRACE_MS);
  await closed;
  clearTimeout(cut);
}

function closeServer(server: Server): Promise<void> {
  if (server instanceof Http1Server) server.closeIdleConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
