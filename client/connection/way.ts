import type { Transport } from '@connectrpc/connect';
import type { Clock } from './clock.ts';
import type { Connection } from './connection.ts';
import type { Credential } from './credential.ts';
import { onLateStream } from './late-stream.ts';
import { SandboxTransport, type TransportKind } from './sandbox-transport.ts';
import { httpTransport, type TransportFactory } from './transport.ts';

/** How the calls of one sandbox get to the gateway. */
export type Way = {
  readonly transport: Transport;
  /** For what only an answer over HTTP can do. */
  readonly http: Transport;
  /** Whether calls may stream both ways. */
  readonly isDuplex: () => boolean;
  /** The way may be dead: calls from now on take another one. */
  readonly renew: () => void;
  readonly close: () => void;
};

export type WayOptions = {
  readonly url: string;
  readonly credential: Credential;
  readonly clock: Clock;
  /** Carries all calls, instead of WebSockets and HTTP. */
  readonly transport?: TransportFactory;
  readonly transportKind?: TransportKind | undefined;
  /** The connection that uses the way. It is there when the first call is made. */
  readonly connection: () => Connection;
};

export function openWay(options: WayOptions): Way {
  const { url, credential, clock, transportKind: kind, connection } = options;
  const http = (options.transport ?? httpTransport)(url, credential);
  if (options.transport) {
    return { transport: http, http, isDuplex: () => false, renew: () => {}, close: () => {} };
  }
  const transport = new SandboxTransport({
    ...{ baseUrl: url, credential, clock, kind },
    onNotice: (notice) => connection().note(notice),
    onLateStream: (stillLate) => void onLateStream(connection(), stillLate),
  });
  return {
    ...{ transport, http, isDuplex: () => transport.isDuplex },
    ...{ renew: () => transport.renew(), close: () => transport.close() },
  };
}
