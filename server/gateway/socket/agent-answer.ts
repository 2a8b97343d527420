import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import type { End, EndSchema } from '../../../gen/computesdk/v1/frame_pb.ts';
import { DomainError } from '../../core/domain-error.ts';

/** The most facts that an error may have. */
const MAX_DETAILS = 16;

/**
 * What a client gets to see of the end of a call in the sandbox. Undefined: all of it. Throws
 * BAD_SANDBOX_RESPONSE.
 */
export function checkEnd(end: End): MessageInitShape<typeof EndSchema> | undefined {
  const { error, message, headers, trailers } = end;
  if (error) {
    // Whether a caller is authenticated is for the gateway to say.
    if (Code[error.code] === undefined || error.code === Code.Unauthenticated) {
      throw notAllowed('an error with an invalid code');
    }
    if (error.details.length > MAX_DETAILS) throw notAllowed('an error with too many details');
  }
  if (headers.length === 0 && trailers.length === 0) return undefined;
  return { ...(message && { message }), ...(error && { error }) };
}

/** The error for what a sandbox must not send. */
export function notAllowed(what: string): DomainError {
  return new DomainError('BAD_SANDBOX_RESPONSE', `the sandbox sent ${what}`);
}
