import { DomainError } from '../../core/domain-error.ts';
import type { Logger } from '../../core/log.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';
import { isCallPath, type MethodTable } from '../../rpc/method-table.ts';
import {
  answerError,
  answerJson,
  answerNotFound,
  answerUnknownMethod,
  refuseMalformedCall,
  refuseOldVersion,
} from './answers.ts';
import { limitBodyTime } from './body-time.ts';
import { type HostGuard, rawValues } from './host-guard.ts';
import { MAGIC_PREFIX } from './magic-page.ts';
import { answerPreflight, isPreflight, type OriginGuard } from './origin-guard.ts';
import { credentialInQuery } from './query-guard.ts';
import { setSecurityHeaders } from './security-headers.ts';
import { WORKSPACE_PATH } from './workspace-page.ts';

/** Where the addresses of sandboxes begin. */
export const SANDBOX_PREFIX = '/sandboxes/';

export type HttpHandlerOptions = {
  readonly hostGuard: HostGuard;
  readonly originGuard: OriginGuard;
  /** The methods that `controlPlane` serves. */
  readonly methods: MethodTable;
  /** Serves calls at the gateway's root. Gets only calls of `methods`, checked for their form. */
  readonly controlPlane: HttpHandler;
  /** Serves everything below {@link SANDBOX_PREFIX}. */
  readonly sandboxes: HttpHandler;
  /** Serves everything below {@link MAGIC_PREFIX}. */
  readonly magicLinks: HttpHandler;
  /** Serves everything at and below {@link WORKSPACE_PATH}. */
  readonly workspace: HttpHandler;
  /** The public keys of session tokens, as a JSON Web Key Set. */
  readonly jwks: () => unknown;
  /** Whether the gateway takes calls, for `/healthz`. */
  readonly isServing: () => boolean;
  readonly log: Logger;
};

/** The outermost handler: guards, then the route. Nothing that a client sends makes it throw. */
export function createHttpHandler(options: HttpHandlerOptions): HttpHandler {
  return (request, response) => {
    // Without a listener, an error of a connection would end the process.
    request.on('error', ignore);
    response.on('error', ignore);
    try {
      if (passesGuards(options, request, response)) route(options, request, response);
    } catch (error) {
      options.log.error('request failed', { error });
      answerError(request, response, error);
    }
  };
}

/** Answers what the guards refuse, and preflights. Returns whether the request may go on. */
function passesGuards(
  options: HttpHandlerOptions,
  request: HttpRequest,
  response: HttpResponse,
): boolean {
  setSecurityHeaders(response);
  const host = options.hostGuard.check(request);
  if (host) {
    answerError(request, response, host.error, host.status);
    return false;
  }
  const origin = options.originGuard.check(request, response);
  if (origin) {
    answerError(request, response, origin, 403);
    return false;
  }
  const credential = credentialInQuery(request.url ?? '');
  if (credential) {
    answerError(request, response, credential);
    return false;
  }
  if (isPreflight(request)) {
    answerPreflight(response);
    return false;
  }
  if (rawValues(request.rawHeaders, 'authorization').length > 1) {
    const message = 'the request has more than one Authorization header';
    answerError(request, response, new DomainError('UNAUTHENTICATED', message));
    return false;
  }
  return true;
}

function route(options: HttpHandlerOptions, request: HttpRequest, response: HttpResponse): void {
  const path = pathOf(request);
  if (path.startsWith(SANDBOX_PREFIX)) {
    options.sandboxes(request, response);
    return;
  }
  if (path.startsWith(MAGIC_PREFIX)) {
    options.magicLinks(request, response);
    return;
  }
  if (path === WORKSPACE_PATH || path.startsWith(`${WORKSPACE_PATH}/`)) {
    options.workspace(request, response);
    return;
  }
  const method = options.methods.find(path);
  if (method) {
    if (refuseMalformedCall(request, response, method)) return;
    if (refuseOldVersion(request, response, method)) return;
    if (method.methodKind === 'unary' || method.methodKind === 'server_streaming') {
      limitBodyTime(request, response);
    }
    options.controlPlane(request, response);
    return;
  }
  switch (path) {
    case '/healthz':
      answerGet(request, response, () => answerHealth(response, options.isServing()));
      break;
    case '/.well-known/jwks.json':
      answerGet(request, response, () => answerJson(response, 200, options.jwks()));
      break;
    default:
      answerUnknown(options, request, response, path);
  }
}

function answerUnknown(
  options: HttpHandlerOptions,
  request: HttpRequest,
  response: HttpResponse,
  path: string,
): void {
  if (!isCallPath(path)) {
    answerNotFound(response, path);
    return;
  }
  const services = options.methods.services.map((service) => service.typeName).join(', ');
  const hint = `the services here are ${services}; those of a sandbox are below its own url`;
  answerUnknownMethod(request, response, { path, hint });
}

function answerGet(request: HttpRequest, response: HttpResponse, answer: () => void): void {
  if (request.method === 'GET' || request.method === 'HEAD') {
    answer();
    return;
  }
  response.setHeader('Allow', 'GET, HEAD');
  answerJson(response, 405, {
    code: 'invalid_argument',
    message: 'this address is for GET and HEAD',
  });
}

function answerHealth(response: HttpResponse, isServing: boolean): void {
  answerJson(response, isServing ? 200 : 503, { status: isServing ? 'SERVING' : 'NOT_SERVING' });
}

/** The target without its query. Anything but a path (`*`, `http://…`) matches no route. */
function pathOf(request: HttpRequest): string {
  const target = request.url ?? '';
  const query = target.indexOf('?');
  return query < 0 ? target : target.slice(0, query);
}

function ignore(): void {}
