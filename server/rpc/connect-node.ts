import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { ConnectRouter, ConnectRouterOptions, ContextValues } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { MAX_TIMER_MS } from '../core/clock.ts';

/** A request of either HTTP version. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;
/** The answer to an {@link HttpRequest}. */
export type HttpResponse = ServerResponse | Http2ServerResponse;
/** Answers one request. Never throws. */
export type HttpHandler = (request: HttpRequest, response: HttpResponse) => void;

/** The largest request message, in bytes. Above it the call ends with RESOURCE_EXHAUSTED. */
export const MAX_MESSAGE_BYTES = 256 * 1024;

export type RpcHandlerOptions = {
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors?: ConnectRouterOptions['interceptors'];
  /** Runs when the headers are known and nothing of the body was read. */
  readonly requestGate?: ConnectRouterOptions['requestGate'];
  readonly contextValues?: (request: HttpRequest) => ContextValues;
  readonly shutdownSignal?: AbortSignal;
  /** Takes the requests whose path is no registered method. */
  readonly fallback: HttpHandler;
};

/**
 * Serves RPCs over Connect, gRPC and gRPC-web, with the limits that the library leaves open.
 * Requests may be compressed; answers never are, because compressing small stream messages costs
 * seven times what it saves.
 */
export function rpcHandler(options: RpcHandlerOptions): HttpHandler {
  const { contextValues, interceptors, requestGate, shutdownSignal } = options;
  const adapter = connectNodeAdapter({
    routes: options.routes,
    fallback: (request, response) =>
      options.fallback(request as HttpRequest, response as HttpResponse),
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: 4 * 1024 * 1024,
    compressMinBytes: 2 ** 31 - 1,
    maxTimeoutMs: MAX_TIMER_MS,
    ...(interceptors && { interceptors }),
    ...(requestGate && { requestGate }),
    ...(shutdownSignal && { shutdownSignal }),
    ...(contextValues && { contextValues: (request) => contextValues(request as HttpRequest) }),
  });
  return (request, response) => {
    try {
      adapter(request, response);
    } catch {
      // The adapter parses Host and target unguarded and throws out of the request listener.
      if (!response.headersSent) response.statusCode = 400;
      response.end();
    }
  };
}
