/** Why an operation of a domain was refused. `server/rpc/connect-error.ts` gives each its status code. */
export type Reason =
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  | 'ORIGIN_NOT_ALLOWED'
  | 'REVOKED'
  | 'EXPIRED'
  | 'DESTROYED'
  | 'LIMIT_REACHED'
  | 'RATE_LIMITED'
  | 'LOST'
  | 'AGENT_UNAVAILABLE'
  | 'SANDBOX_FAILED'
  | 'WRITER_EXPIRED'
  | 'EXITED'
  | 'FAILED_PRECONDITION'
  | 'SPAWN_FAILED'
  | 'CURSOR_OUT_OF_RANGE'
  | 'TOO_LARGE'
  | 'SLOW_READER'
  | 'BAD_SANDBOX_RESPONSE'
  | 'CONFLICT'
  | 'SHUTTING_DOWN'
  | 'DRIVER_UNAVAILABLE'
  | 'BAD_SETTING'
  | 'INTERNAL';

export type DomainErrorOptions = {
  readonly cause?: unknown;
  /** The request's field that was refused, as JSON spells it. */
  readonly field?: string;
  /** How long to wait before trying again, in milliseconds. */
  readonly retryAfterMs?: number;
  /** Id of what was refused, for the audit log. It does not travel. */
  readonly subjectId?: string;
};

/** An expected refusal, with a message for the caller: it names the thing and what to do, never a secret. */
export class DomainError extends Error {
  override readonly name = 'DomainError';
  readonly reason: Reason;
  readonly field: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly subjectId: string | undefined;

  constructor(reason: Reason, message: string, options: DomainErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.reason = reason;
    this.field = options.field;
    this.retryAfterMs = options.retryAfterMs;
    this.subjectId = options.subjectId;
  }
}

/** The error for a request field that is missing, malformed or outside its bounds. */
export function invalidArgument(field: string, problem: string): DomainError {
  return new DomainError('INVALID_ARGUMENT', `${field}: ${problem}`, { field });
}
