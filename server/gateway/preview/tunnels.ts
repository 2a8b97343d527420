import { Agent, type ClientRequest, type ClientRequestArgs, request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { PreviewPort } from '../auth/preview-pass.ts';
import type { AgentEndpoint } from '../sandbox/agents.ts';
import { openTunnel } from './tunnel.ts';

/** The most bytes of the headers that a program answers with. */
const MAX_RESPONSE_HEADER_BYTES = 64 * 1024;
/** The most idle connections that are kept for one viewer of one port. */
const MAX_IDLE = 16;
/** How long an idle connection is kept, in milliseconds: less than the 5 s after which Node.js servers close it. */
const IDLE_MS = 4_000;
/** How long an agent may take to be started, in milliseconds. */
const START_MS = 30_000;

/** A request as it enters a sandbox. */
export type TunnelRequest = {
  readonly at: PreviewPort;
  /** Two viewers never share a connection. */
  readonly viewerId: string;
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Names and values, one after the other. */
  readonly headers: readonly string[];
  /** For a change of protocol: a connection of its own, whose sides end one by one. */
  readonly isUpgrade?: boolean;
};

/** Finds a sandbox's agent or starts it. */
export type FindEndpoint = (sandboxId: string, signal: AbortSignal) => Promise<AgentEndpoint>;

/** HTTP to ports inside of sandboxes. Connections are kept open for the same viewer's next request. */
export class Tunnels {
  readonly #pool: TunnelPool;

  constructor(endpoint: FindEndpoint) {
    this.#pool = new TunnelPool(endpoint);
  }

  /** Begins a request. The caller writes its body and ends it. */
  open(call: TunnelRequest): ClientRequest {
    const { at, viewerId, isUpgrade = false } = call;
    const options: TunnelArguments = {
      ...{ agent: this.#pool, at, viewerId, isUpgrade },
      ...{ method: call.method, path: call.target, headers: call.headers },
      setHost: false,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
    };
    return request(options);
  }

  /** Ends every connection. */
  close(): void {
    this.#pool.destroy();
  }
}

type TunnelArguments = ClientRequestArgs & Pick<TunnelRequest, 'at' | 'viewerId' | 'isUpgrade'>;

class TunnelPool extends Agent {
  readonly #endpoint: FindEndpoint;

  constructor(endpoint: FindEndpoint) {
    super({ keepAlive: true, maxFreeSockets: MAX_IDLE, timeout: IDLE_MS });
    this.#endpoint = endpoint;
  }

  override getName(options?: ClientRequestArgs): string {
    // Only `Tunnels` makes requests with this pool.
    const { at, viewerId, isUpgrade } = options as TunnelArguments;
    return `${at.sandboxId}:${at.port}\n${viewerId}\n${isUpgrade}`;
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const { at, isUpgrade = false } = options as TunnelArguments;
    const settle = callback as (error: Error | null, stream?: Duplex) => void;
    this.#connect(at, isUpgrade).then(
      (socket) => settle(null, socket),
      (error: Error) => settle(error),
    );
  }

  async #connect({ sandboxId, port }: PreviewPort, allowHalfOpen: boolean) {
    const { socketPath } = await this.#endpoint(sandboxId, AbortSignal.timeout(START_MS));
    return await openTunnel({ socketPath, port, allowHalfOpen });
  }
}
