import type { IncomingMessage } from 'node:http';
import { Code } from '@connectrpc/connect';
import { codeToHttpStatus } from '@connectrpc/connect/protocol-connect';
import { DomainError } from '../../core/domain-error.ts';
import { type CallForm, formOfType } from '../../rpc/call-form.ts';

/** The trailers, or headers in their place, that a gRPC answer may have. */
const STATUS_FIELDS = ['grpc-status', 'grpc-message', 'grpc-status-details-bin'] as const;
/** Answers are never compressed: nothing that asks for it enters the sandbox. */
const ENCODINGS = ['content-encoding', 'connect-content-encoding', 'grpc-encoding'] as const;
/** What Connect's error codes look like. Whether a caller is authenticated is for the gateway to say. */
const ERROR_STATUSES: ReadonlySet<number> = new Set(
  Object.values(Code)
    .filter((code) => typeof code === 'number')
    .filter((code) => code !== Code.Unauthenticated)
    .map(codeToHttpStatus),
);

/** What the gateway makes of the head of a sandbox's answer: all that a client gets to see of it. */
export type ResponseHead = {
  readonly status: number;
  readonly contentType: string;
  /** The status of a gRPC answer that consists of headers only. */
  readonly grpcStatus?: Readonly<Record<string, string>>;
};

/** Checks the head of what a sandbox answered to a call. Throws BAD_SANDBOX_RESPONSE. */
export function checkHead(response: IncomingMessage, form: CallForm): ResponseHead {
  const { statusCode: status = 0, headers } = response;
  for (const name of ENCODINGS) {
    if ((headers[name] ?? 'identity') !== 'identity') throw bad(`it is encoded (${name})`);
  }
  const answered = formOfType(headers['content-type'])?.contentType;
  if (form.protocol === 'connect-unary' && ERROR_STATUSES.has(status)) {
    if (answered !== 'application/json') throw bad('its Content-Type is not that of an error');
    return { status, contentType: answered };
  }
  if (status !== 200) throw bad(`its HTTP status is ${status}`);
  if (answered !== form.contentType) throw bad('its Content-Type does not match the call');
  if (form.protocol !== 'grpc' || headers['grpc-status'] === undefined) {
    return { status, contentType: answered };
  }
  return { status, contentType: answered, grpcStatus: statusFields(headers) };
}

/** Checks the trailers of a gRPC answer and returns those that a client gets to see. Throws BAD_SANDBOX_RESPONSE. */
export function checkTrailers(response: IncomingMessage): Record<string, string> {
  return statusFields(response.trailers);
}

function statusFields(from: NodeJS.Dict<string | string[]>): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const name of STATUS_FIELDS) {
    const value = from[name];
    if (typeof value === 'string') fields[name] = value;
  }
  if (!/^(?:\d|1[0-5])$/.test(fields['grpc-status'] ?? '')) throw bad('it has no gRPC status');
  return fields;
}

function bad(problem: string): DomainError {
  return new DomainError(
    'BAD_SANDBOX_RESPONSE',
    `the sandbox answered with something that is not valid in this protocol: ${problem}`,
  );
}
