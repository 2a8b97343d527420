import type { DescMethod } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { redactAddress } from '../../core/redact.ts';
import { refuse } from '../../rpc/call-end.ts';
import { CALL_CONTENT_TYPES, callForm } from '../../rpc/call-form.ts';
import { toConnectError } from '../../rpc/connect-error.ts';
import type { HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';

/** Answers with a JSON document. */
export function answerJson(response: HttpResponse, status: number, body: unknown): void {
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(body));
}

/** Answers with an error in the protocol of the call. `status` replaces the HTTP status. */
export function answerError(
  request: HttpRequest,
  response: HttpResponse,
  error: unknown,
  status?: number,
): void {
  refuse(request, response, toConnectError(error), status);
}

/** Answers a path that is no call and nothing else that is served. */
export function answerNotFound(response: HttpResponse, path: string): void {
  const message = `there is nothing at ${shown(path)}; calls go to /<package.Service>/<Method>`;
  answerJson(response, 404, { code: 'not_found', message });
}

/** Answers a call of a method that does not exist, or not at this address. `hint` says where to look. */
export function answerUnknownMethod(
  request: HttpRequest,
  response: HttpResponse,
  options: { readonly path: string; readonly hint: string },
): void {
  if (callForm(request) === undefined) {
    answerNotFound(response, options.path);
    return;
  }
  const message = `there is no method ${shown(options.path.slice(1))} here; ${options.hint}`;
  refuse(request, response, new ConnectError(message, Code.Unimplemented));
}

/**
 * Refuses a request that cannot be a call of `method`, whatever its body: a wrong HTTP method, an
 * unknown content type, a stream's content type for a unary call or the reverse. Returns whether it did.
 */
export function refuseMalformedCall(
  request: HttpRequest,
  response: HttpResponse,
  method: DescMethod,
): boolean {
  const form = callForm(request);
  const streams = method.methodKind !== 'unary';
  const isGet = request.method === 'GET';
  if (request.method !== 'POST' && !(isGet && isReadable(method))) {
    const allowed = isReadable(method) ? 'POST, GET' : 'POST';
    response.setHeader('Allow', allowed);
    answerProblem(response, 405, `${method.name} is called by ${allowed}`);
    return true;
  }
  if (isGet && form === undefined) {
    answerProblem(
      response,
      400,
      `${method.name} by GET needs encoding=json or encoding=proto, and message`,
    );
    return true;
  }
  if (form === undefined) {
    response.setHeader('Accept-Post', CALL_CONTENT_TYPES);
    answerProblem(response, 415, `the Content-Type is none of ${CALL_CONTENT_TYPES}`);
    return true;
  }
  const wanted = streams ? 'connect-unary' : 'connect-stream';
  if (form.protocol === wanted) {
    const right = streams ? 'application/connect+json' : 'application/json';
    const message = `${method.name} ${streams ? 'is a stream' : 'is no stream'}: its Content-Type is ${right} or ${right.replace('json', 'proto')}`;
    answerProblem(response, 415, message);
    return true;
  }
  return false;
}

/** Refuses a request for a method that streams both ways in a version that cannot. Returns whether it did. */
export function refuseOldVersion(
  request: HttpRequest,
  response: HttpResponse,
  method: DescMethod,
): boolean {
  if (method.methodKind !== 'bidi_streaming' || request.httpVersionMajor !== 1) return false;
  response.setHeader('Connection', 'close');
  answerProblem(response, 505, `${method.name} needs HTTP/2, because it streams both ways`);
  return true;
}

function answerProblem(response: HttpResponse, status: number, message: string): void {
  answerJson(response, status, { code: 'invalid_argument', message });
}

/** Connect lets methods without side effects be called by GET. */
function isReadable(method: DescMethod): boolean {
  return method.methodKind === 'unary' && method.idempotency === 1;
}

/** A part of the request's path, short and harmless in a message, which may be kept where the request is not. */
function shown(path: string): string {
  const printable = redactAddress(path).replace(/[^\x20-\x7e]/g, '?');
  return printable.length > 200 ? `${printable.slice(0, 200)}…` : printable;
}
