import type { Interceptor, Transport } from '@connectrpc/connect';
import { systemClock } from './connection/clock.ts';
import { type Credential, cookieCredential, TokenCredential } from './connection/credential.ts';
import { SandboxTransport, type TransportKind } from './connection/sandbox-transport.ts';
import { checkTransport, toBaseUrl } from './values.ts';

/** What generated clients of a sandbox's services need. */
export interface SandboxTransportOptions {
  /** The sandbox's address: `sandbox.url` of the backend. */
  readonly url: string;
  /** A session token of this sandbox. Default: the cookie of a browser that a magic link signed in. */
  readonly token?: string | undefined;
  /** How calls travel. Default: over one WebSocket, and over HTTP where none can be had. */
  readonly transport?: TransportKind | undefined;
  /** Wrap every call, the first outermost. */
  readonly interceptors?: readonly Interceptor[] | undefined;
}

/** A Connect transport to one sandbox. */
export interface ClosableTransport extends Transport {
  /** Ends its calls and its connection. Without calls the connection ends by itself after 5 seconds. */
  close(): void;
}

/**
 * A Connect transport for generated clients of a sandbox's services: calls of every kind, many at a
 * time, over one WebSocket. Unlike {@link Sandbox} it repeats nothing: calls fail as they do over
 * any other transport, with a `ConnectError`.
 *
 * @throws SandboxError `invalid_argument` (`field` is `url`, `token` or `transport`).
 *
 * @example
 * import { createClient } from '@connectrpc/connect';
 * import { createSandboxTransport } from 'computesdk/client';
 * import { TerminalService } from 'computesdk/proto';
 *
 * const transport = createSandboxTransport({ url: sandboxUrl, token: sessionToken });
 * const terminals = createClient(TerminalService, transport);
 * console.log((await terminals.listTerminals({})).terminals.length);
 * transport.close();
 */
export function createSandboxTransport(options: SandboxTransportOptions): ClosableTransport {
  const { token, interceptors } = options;
  const credential: Credential =
    token === undefined ? cookieCredential : new TokenCredential(token);
  return new SandboxTransport({
    baseUrl: toBaseUrl('url', options.url),
    ...{ credential, interceptors, clock: systemClock },
    kind: checkTransport(options.transport),
    onNotice: () => {},
    onLateStream: () => {},
  });
}
