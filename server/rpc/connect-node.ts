import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import {
  type ConnectRouter,
  type ConnectRouterOptions,
  type ContextValues,
  createConnectRouter,
} from '@connectrpc/connect';
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node';
import { MAX_TIMER_MS } from '../core/clock.ts';
import { blameRequest, limitTimeout } from './request-repair.ts';
import { reset } from './reset.ts';

type UniversalHandler = ConnectRouter['handlers'][number];

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
  readonly contextValues?: (request: HttpRequest, response: HttpResponse) => ContextValues;
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
  const handlers = new Map<string, UniversalHandler>();
  for (const handler of routerOf(options).handlers) handlers.set(handler.requestPath, handler);
  return (request, response) => {
    const handler = handlers.get((request.url ?? '').split('?', 1)[0] ?? '');
    if (!handler) {
      options.fallback(request, response);
      return;
    }
    void serve(handler, request, response, options.contextValues?.(request, response));
  };
}

function routerOf(options: RpcHandlerOptions): ConnectRouter {
  const { interceptors, requestGate, shutdownSignal } = options;
  const router = createConnectRouter({
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: 4 * 1024 * 1024,
    compressMinBytes: 2 ** 31 - 1,
    maxTimeoutMs: MAX_TIMER_MS,
    ...(interceptors && { interceptors }),
    requestGate: (context) => {
      blameRequest(context);
      return requestGate?.(context);
    },
    ...(shutdownSignal && { shutdownSignal }),
  });
  options.routes(router);
  return router;
}

/** What `connectNodeAdapter` does, which throws at a malformed Host and reports clients that left as failures. */
async function serve(
  handler: UniversalHandler,
  request: HttpRequest,
  response: HttpResponse,
  contextValues: ContextValues | undefined,
): Promise<void> {
  // Without a listener, an error of a connection would end the process.
  response.on('error', () => {});
  try {
    const call = universalRequestFromNodeRequest(request, response, undefined, contextValues);
    limitTimeout(call.header);
    await universalResponseToNodeResponse(await handler(call), response);
  } catch {
    // The client left, or its Host or target was none. Errors of calls are answered by the handler.
    if (response.headersSent) {
      reset(response);
      return;
    }
    response.statusCode = 400;
    response.end();
  }
}
