import type {
  Http2SecureServer,
  Http2Server,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2';
import type { HttpHandler } from '../../rpc/connect-node.ts';

/** The most bytes of a request's headers. */
export const MAX_HEADER_BYTES = 16 * 1024;
/** The most header fields of a request. */
const MAX_HEADER_FIELDS = 100;
/** The most calls at a time on one HTTP/2 connection. */
const MAX_CONCURRENT_STREAMS = 256;
/**
 * Calls that a client may cancel at once on one HTTP/2 connection, twice as many as may be open. Above
 * it the connection ends, when Node.js is through with what it has read: 64 KiB, up to 1,820 calls.
 */
const MAX_RESETS_AT_ONCE = 512;
/** How many of them come back in a second. */
const RESETS_PER_SECOND = 33;

/** How long an HTTP/2 connection may go on without a call, in milliseconds. */
export type Http2Times = {
  /** Until its first call. */
  readonly requestMs: number;
  /** Between calls. */
  readonly idleMs: number;
};

/** What Node.js itself limits on every HTTP/2 connection. */
export function http2Options() {
  return {
    settings: { maxConcurrentStreams: MAX_CONCURRENT_STREAMS, maxHeaderListSize: MAX_HEADER_BYTES },
    maxHeaderListPairs: MAX_HEADER_FIELDS,
    streamResetBurst: MAX_RESETS_AT_ONCE,
    streamResetRate: RESETS_PER_SECOND,
    // Names the fields that must not be repeated; Node.js resets calls that do.
    strictSingleValueFields: true,
  };
}

/** Limits what Node.js does not on the connections of an HTTP/2 server, which must have its handler. */
export function limitHttp2(server: Http2Server | Http2SecureServer, times: Http2Times): void {
  passOverCancelled(server);
  server.on('session', (session) => limitIdleTime(session, times));
}

/** Refuses what Node.js lets pass over HTTP/2 until the client has acknowledged the limit. */
export function limitHeaders(handler: HttpHandler): HttpHandler {
  return (request, response) => {
    let bytes = 0;
    for (const text of request.rawHeaders) bytes += text.length;
    if (bytes <= MAX_HEADER_BYTES) {
      handler(request, response);
      return;
    }
    response.statusCode = 431;
    response.end();
  };
}

/**
 * Keeps from the handler what the client cancelled before it was looked at: a flood of these would
 * otherwise cost the objects, the checks and the answer of a call each.
 */
function passOverCancelled(server: Http2Server | Http2SecureServer): void {
  const serveStream = server.listeners('stream');
  server.removeAllListeners('stream');
  server.on('stream', (stream: ServerHttp2Stream, ...rest: unknown[]) => {
    if (stream.destroyed) {
      // Without a listener, the error that it was destroyed with would end the process.
      stream.on('error', () => {});
      return;
    }
    for (const serve of serveStream) serve.call(server, stream, ...rest);
  });
}

/** Closes an HTTP/2 connection on which no call was open for a while, from its beginning on. */
function limitIdleTime(session: ServerHttp2Session, times: Http2Times): void {
  let open = 0;
  let timer = setTimeout(() => session.destroy(), times.requestMs);
  session.on('stream', (stream) => {
    open += 1;
    clearTimeout(timer);
    stream.once('close', () => {
      open -= 1;
      if (open > 0 || session.destroyed) return;
      clearTimeout(timer);
      timer = setTimeout(() => session.destroy(), times.idleMs);
    });
  });
  session.once('close', () => clearTimeout(timer));
}
