import { Agent, type ClientRequest, type ClientRequestArgs, request } from 'node:http';
import type { HttpRequest } from '../../rpc/connect-node.ts';

/** The most bytes of an answer's headers, and of its trailers. */
const MAX_RESPONSE_HEADER_BYTES = 16 * 1024;
/** The most idle connections that are kept for one caller of one sandbox. */
const MAX_IDLE_CONNECTIONS = 16;
/** How long an idle connection is kept, in milliseconds. */
const IDLE_CONNECTION_MS = 10_000;

/** What enters a sandbox of a request's headers. Credentials and cookies are not among them. */
const REQUEST_HEADERS = [
  'content-type',
  'content-encoding',
  'accept',
  'user-agent',
  'x-user-agent',
  'x-grpc-web',
  'te',
  'connect-protocol-version',
  'connect-timeout-ms',
  'connect-content-encoding',
  'grpc-timeout',
  'grpc-encoding',
  'grpc-message-type',
] as const;

/** Says that answers must not be compressed. Without it a compressed request is taken for a wish to get them so. */
const PLAIN_ANSWERS = { 'connect-accept-encoding': 'identity', 'grpc-accept-encoding': 'identity' };

/** A call as it enters a sandbox. */
export type AgentCall = {
  readonly socketPath: string;
  /** Subject of the caller. Two of them never share a connection. */
  readonly subject: string;
  readonly method: 'GET' | 'POST';
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
};

/** Connections to agents, HTTP/1.1 over Unix sockets, kept open for a caller's next call. */
export class AgentConnections {
  readonly #pool = new CallerPool({
    keepAlive: true,
    maxFreeSockets: MAX_IDLE_CONNECTIONS,
    timeout: IDLE_CONNECTION_MS,
  });

  /** Begins a call. The caller ends the request with its body. */
  open(call: AgentCall): ClientRequest {
    const options = {
      agent: this.#pool,
      socketPath: call.socketPath,
      subject: call.subject,
      method: call.method,
      path: call.target,
      headers: call.headers,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
    };
    return request(options);
  }

  /** Ends every connection. */
  close(): void {
    this.#pool.destroy();
  }
}

/** The headers of a call that may enter a sandbox. */
export function callHeaders(from: HttpRequest): Record<string, string> {
  const headers: Record<string, string> = { host: 'sandbox', ...PLAIN_ANSWERS };
  for (const name of REQUEST_HEADERS) {
    const value = from.headers[name];
    if (typeof value === 'string') headers[name] = value;
  }
  return headers;
}

class CallerPool extends Agent {
  override getName(options?: ClientRequestArgs & { readonly subject?: string }): string {
    return `${options?.socketPath}\n${options?.subject}`;
  }
}
