import type { ConnectError } from '@connectrpc/connect';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import {
  codeToHttpStatus,
  createEndStreamSerialization,
  endStreamFlag,
  errorToJsonBytes,
} from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { trailerFlag, trailerSerialize } from '@connectrpc/connect/protocol-grpc-web';
import { type CallForm, callForm } from './call-form.ts';
import { RETRY_AFTER } from './connect-error.ts';
import type { HttpRequest, HttpResponse } from './connect-node.ts';
import { reset } from './reset.ts';

/** How a stream that has begun ends with an error: a last envelope, or trailers. */
export type StreamEnd = {
  readonly envelope?: Uint8Array;
  readonly trailers?: Readonly<Record<string, string>>;
};

const endStream = createEndStreamSerialization(undefined);

/** The protocol's own end for a stream whose headers were sent. */
export function streamEnd(form: CallForm, error: ConnectError): StreamEnd {
  switch (form.protocol) {
    case 'connect-unary':
      // Nothing but a reset can end a plain body that has begun.
      return {};
    case 'connect-stream': {
      const data = endStream.serialize({ metadata: new Headers(), error });
      return { envelope: encodeEnvelope(endStreamFlag, data) };
    }
    case 'grpc':
      return { trailers: grpcStatus(error) };
    case 'grpc-web': {
      const data = trailerSerialize(new Headers(grpcStatus(error)));
      return { envelope: encodeEnvelope(trailerFlag, data) };
    }
  }
}

/**
 * Answers a call with an error, in the protocol that it came in, or in Connect's JSON when it is no
 * RPC at all. Resets the call if its answer has begun. `status` replaces the HTTP status.
 */
export function refuse(
  request: HttpRequest,
  response: HttpResponse,
  error: ConnectError,
  status?: number,
): void {
  if (response.headersSent) {
    reset(response);
    return;
  }
  const form = callForm(request);
  if (form === undefined || form.protocol === 'connect-unary') {
    response.statusCode = status ?? codeToHttpStatus(error.code);
    response.setHeader('Content-Type', 'application/json');
    const retryAfter = error.metadata.get(RETRY_AFTER);
    if (retryAfter !== null) response.setHeader(RETRY_AFTER, retryAfter);
    response.end(errorToJsonBytes(error, undefined));
    return;
  }
  response.statusCode = status ?? 200;
  response.setHeader('Content-Type', form.contentType);
  const { envelope, trailers } = streamEnd(form, error);
  // gRPC without a message has its trailers in the place of headers.
  for (const [name, value] of Object.entries(trailers ?? {})) response.setHeader(name, value);
  if (envelope) response.end(envelope);
  else response.end();
}

function grpcStatus(error: ConnectError): Record<string, string> {
  const fields: Record<string, string> = {};
  setTrailerStatus(new Headers(), error).forEach((value, name) => {
    fields[name] = value;
  });
  return fields;
}
