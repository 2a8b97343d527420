import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorDetailSchema, ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { DomainError, type Reason } from '../core/domain-error.ts';

/** The one table from a domain's reason to what travels. */
const TABLE: Readonly<Record<Reason, readonly [Code, ErrorReason]>> = {
  INVALID_ARGUMENT: [Code.InvalidArgument, ErrorReason.INVALID_ARGUMENT],
  NOT_FOUND: [Code.NotFound, ErrorReason.NOT_FOUND],
  ALREADY_EXISTS: [Code.AlreadyExists, ErrorReason.UNSPECIFIED],
  UNAUTHENTICATED: [Code.Unauthenticated, ErrorReason.UNAUTHENTICATED],
  PERMISSION_DENIED: [Code.PermissionDenied, ErrorReason.PERMISSION_DENIED],
  ORIGIN_NOT_ALLOWED: [Code.PermissionDenied, ErrorReason.ORIGIN_NOT_ALLOWED],
  REVOKED: [Code.Unauthenticated, ErrorReason.REVOKED],
  EXPIRED: [Code.Unauthenticated, ErrorReason.EXPIRED],
  DESTROYED: [Code.NotFound, ErrorReason.DESTROYED],
  LIMIT_REACHED: [Code.ResourceExhausted, ErrorReason.LIMIT_REACHED],
  RATE_LIMITED: [Code.ResourceExhausted, ErrorReason.RATE_LIMITED],
  LOST: [Code.DataLoss, ErrorReason.LOST],
  AGENT_UNAVAILABLE: [Code.Unavailable, ErrorReason.AGENT_UNAVAILABLE],
  SANDBOX_FAILED: [Code.FailedPrecondition, ErrorReason.SANDBOX_FAILED],
  WRITER_EXPIRED: [Code.FailedPrecondition, ErrorReason.WRITER_EXPIRED],
  EXITED: [Code.FailedPrecondition, ErrorReason.EXITED],
  FAILED_PRECONDITION: [Code.FailedPrecondition, ErrorReason.UNSPECIFIED],
  SPAWN_FAILED: [Code.FailedPrecondition, ErrorReason.SPAWN_FAILED],
  CURSOR_OUT_OF_RANGE: [Code.OutOfRange, ErrorReason.CURSOR_OUT_OF_RANGE],
  TOO_LARGE: [Code.ResourceExhausted, ErrorReason.TOO_LARGE],
  SLOW_READER: [Code.Aborted, ErrorReason.SLOW_READER],
  BAD_SANDBOX_RESPONSE: [Code.DataLoss, ErrorReason.BAD_SANDBOX_RESPONSE],
  CONFLICT: [Code.Aborted, ErrorReason.CONFLICT],
  SHUTTING_DOWN: [Code.Unavailable, ErrorReason.SHUTTING_DOWN],
  DRIVER_UNAVAILABLE: [Code.FailedPrecondition, ErrorReason.SANDBOX_FAILED],
  BAD_SETTING: [Code.FailedPrecondition, ErrorReason.UNSPECIFIED],
  INTERNAL: [Code.Internal, ErrorReason.INTERNAL],
};

/** How a domain's reason is spelled in messages. */
export function toErrorReason(reason: Reason): ErrorReason {
  return TABLE[reason][1];
}

/** The header, or the trailer where a protocol has its own statuses, that says when to try again, in seconds. */
export const RETRY_AFTER = 'Retry-After';

/**
 * What a caller gets to see of an error. Domain errors keep their message; everything unexpected
 * becomes one bland message, since its own may hold paths or secrets.
 */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  if (!(error instanceof DomainError)) {
    return withDetail(new ConnectError('internal error, see the server log', Code.Internal), {
      reason: ErrorReason.INTERNAL,
    });
  }
  const [code, reason] = TABLE[error.reason];
  const shown = withDetail(new ConnectError(error.message, code), {
    reason,
    ...(error.field !== undefined && { field: error.field }),
    ...(error.retryAfterMs !== undefined && { retryAfter: durationFromMs(error.retryAfterMs) }),
  });
  return error.retryAfterMs === undefined ? shown : withRetry(shown, error.retryAfterMs);
}

/** Says when to try again in the two ways that clients know which do not know our own detail. */
function withRetry(error: ConnectError, retryAfterMs: number): ConnectError {
  const value = create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) });
  error.details.push({ desc: RetryInfoSchema, value });
  error.metadata.set(RETRY_AFTER, String(Math.ceil(retryAfterMs / 1000)));
  return error;
}

function withDetail(
  error: ConnectError,
  detail: { reason: ErrorReason; field?: string; retryAfter?: ReturnType<typeof durationFromMs> },
): ConnectError {
  error.details.push({ desc: ErrorDetailSchema, value: create(ErrorDetailSchema, detail) });
  return error;
}
