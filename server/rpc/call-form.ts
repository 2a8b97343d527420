import { parseContentType as parseConnect } from '@connectrpc/connect/protocol-connect';
import { parseContentType as parseGrpc } from '@connectrpc/connect/protocol-grpc';
import { parseContentType as parseGrpcWeb } from '@connectrpc/connect/protocol-grpc-web';
import type { HttpRequest } from './connect-node.ts';

/** The RPC protocols. Connect has two: plain bodies for unary calls, envelopes for streams. */
export type Protocol = 'connect-unary' | 'connect-stream' | 'grpc' | 'grpc-web';

/** How the messages of a call travel. */
export type CallForm = {
  readonly protocol: Protocol;
  /** Whether messages are in the binary format, not in JSON. */
  readonly binary: boolean;
  /** The canonical Content-Type of messages in this form. */
  readonly contentType: string;
};

const FORMS: ReadonlyMap<string, CallForm> = new Map(
  [
    form('connect-unary', true, 'application/proto'),
    form('connect-unary', false, 'application/json'),
    form('connect-stream', true, 'application/connect+proto'),
    form('connect-stream', false, 'application/connect+json'),
    form('grpc', true, 'application/grpc+proto'),
    form('grpc', false, 'application/grpc+json'),
    form('grpc-web', true, 'application/grpc-web+proto'),
    form('grpc-web', false, 'application/grpc-web+json'),
  ].map((entry) => [entry.contentType, entry]),
);

/** Every Content-Type that a call can have, for the `Accept-Post` header. */
export const CALL_CONTENT_TYPES = [...FORMS.keys()].join(', ');

/** The form of a call, from its Content-Type or its query. Undefined for what is no RPC. */
export function callForm(request: HttpRequest): CallForm | undefined {
  if (request.method === 'GET') return formOfQuery(request.url ?? '');
  return request.method === 'POST' ? formOfType(request.headers['content-type']) : undefined;
}

/** The form that a Content-Type stands for, in any of its spellings. */
export function formOfType(type: string | undefined): CallForm | undefined {
  if (type === undefined) return undefined;
  return FORMS.get(type) ?? FORMS.get(canonical(type) ?? '');
}

function form(protocol: Protocol, binary: boolean, contentType: string): CallForm {
  return { protocol, binary, contentType };
}

function canonical(type: string): string | undefined {
  const connect = parseConnect(type);
  if (connect) return `application/${connect.stream ? 'connect+' : ''}${format(connect.binary)}`;
  const grpc = parseGrpc(type);
  if (grpc) return `application/grpc+${format(grpc.binary)}`;
  const web = parseGrpcWeb(type);
  // The base64 variant exists for browsers that no longer do.
  return web && !web.text ? `application/grpc-web+${format(web.binary)}` : undefined;
}

function format(binary: boolean): string {
  return binary ? 'proto' : 'json';
}

function formOfQuery(url: string): CallForm | undefined {
  const encoding = /[?&]encoding=(proto|json)(?:&|$)/.exec(url)?.[1];
  return encoding === undefined ? undefined : FORMS.get(`application/${encoding}`);
}
