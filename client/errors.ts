import { durationMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { codeToString } from '@connectrpc/connect/protocol-connect';
import {
  ErrorDetailSchema,
  type ErrorReason,
  ErrorReasonSchema,
} from '../gen/computesdk/v1/error_pb.ts';

/**
 * What went wrong, for a program to branch on.
 *
 * - `invalid_argument`: an argument is missing, malformed or out of bounds; `field` names it.
 * - `not_found`: the named thing does not exist, or the credential may not know that it does.
 * - `already_exists`: a live sandbox of the namespace has this name.
 * - `unauthenticated`, `revoked`, `expired`: the credential is not valid, or not any more.
 * - `permission_denied`, `origin_not_allowed`: the credential, or the page's origin, does not allow it.
 * - `destroyed`: the sandbox, terminal or watcher was destroyed meanwhile.
 * - `limit_reached`, `too_large`: a limit that the message names; `retryAfterMs` if waiting helps.
 * - `rate_limited`: too many calls in a short time; the SDK waits for `retryAfterMs` where it may repeat a call.
 * - `lost`: the process that held the state died and the state with it. Files are still there.
 * - `exited`: the terminal's program has ended, so it takes no input.
 * - `spawn_failed`: the shell could not be started.
 * - `queue_full`: 1 MiB of input waits already; the write was not accepted.
 * - `outcome_unknown`: the server forgot this writer, so whether the input was applied is unknown.
 * - `access_ended`: the credential ended while it was in use; `cause` says how.
 * - `closed`: the sandbox object was disconnected by its owner.
 * - `canceled`: the caller's `AbortSignal` fired.
 * - `unreachable`: no answer from the address, or none that a gateway would give.
 * - `unavailable`, `agent_unavailable`, `shutting_down`, `deadline_exceeded`: try again later.
 * - `sandbox_failed`: the sandbox died too often and is not started again.
 * - `bad_sandbox_response`: the sandbox answered outside of the protocol.
 * - the others: conditions of the protocol that the SDK handles itself, or defects.
 */
export type SandboxErrorCode =
  | 'access_ended'
  | 'agent_unavailable'
  | 'already_exists'
  | 'bad_sandbox_response'
  | 'canceled'
  | 'closed'
  | 'conflict'
  | 'cursor_out_of_range'
  | 'deadline_exceeded'
  | 'destroyed'
  | 'exited'
  | 'expired'
  | 'failed_precondition'
  | 'internal'
  | 'invalid_argument'
  | 'limit_reached'
  | 'lost'
  | 'not_found'
  | 'origin_not_allowed'
  | 'outcome_unknown'
  | 'permission_denied'
  | 'queue_full'
  | 'rate_limited'
  | 'revoked'
  | 'sandbox_failed'
  | 'shutting_down'
  | 'slow_reader'
  | 'spawn_failed'
  | 'too_large'
  | 'unauthenticated'
  | 'unavailable'
  | 'unimplemented'
  | 'unknown'
  | 'unreachable'
  | 'writer_expired';

/** What a {@link SandboxError} carries beside its code and message. */
export interface SandboxErrorOptions {
  /** The argument that was refused, for example `expiresIn`. */
  readonly field?: string | undefined;
  /** How long to wait before trying again, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/**
 * The one error class of the SDK. Branch on `code`; the message is for people.
 *
 * @example
 * try {
 *   await sandbox.terminal.retrieve(id);
 * } catch (error) {
 *   if (error instanceof SandboxError && error.code === 'not_found') return undefined;
 *   throw error;
 * }
 */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
  /** What went wrong. */
  readonly code: SandboxErrorCode;
  /** The argument that was refused, for example `expiresIn`. */
  readonly field: string | undefined;
  /** How long to wait before trying again, in milliseconds. Undefined where that does not help. */
  readonly retryAfterMs: number | undefined;

  constructor(code: SandboxErrorCode, message: string, options: SandboxErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.field = options.field;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Statuses that are called otherwise here, as most of them have a reason too. */
const OWN_NAMES: Readonly<Partial<Record<Code, SandboxErrorCode>>> = {
  [Code.ResourceExhausted]: 'limit_reached',
  [Code.Aborted]: 'conflict',
  [Code.OutOfRange]: 'cursor_out_of_range',
  [Code.DataLoss]: 'bad_sandbox_response',
};

/** Fields of the contract whose names in the SDK carry their unit. */
const FIELD_NAMES: Readonly<Partial<Record<string, string>>> = {
  duration: 'durationMs',
  timeout: 'timeoutMs',
};

/** Statuses that count although only an HTTP status, not a server of ours, said so. */
const TRUSTED_HTTP_STATUSES: ReadonlySet<Code> = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.Unimplemented,
]);

/** Translates whatever a call threw. */
export function toSandboxError(error: unknown): SandboxError {
  if (error instanceof SandboxError) return error;
  if (isAbort(error)) return canceled(error);
  const connectError = ConnectError.from(error);
  if (!connectError.isWireError && !TRUSTED_HTTP_STATUSES.has(connectError.code)) {
    if (connectError.code === Code.Canceled) return canceled(error);
    return unreachable(describeFailure(connectError), error);
  }
  const [detail] = connectError.findDetails(ErrorDetailSchema);
  const code = (detail && codeOfReason(detail.reason)) ?? codeOfStatus(connectError.code);
  const wireField = detail?.field || undefined;
  const field = wireField && (FIELD_NAMES[wireField] ?? wireField);
  let message = connectError.rawMessage || code.replaceAll('_', ' ');
  if (field && message.startsWith(`${wireField}:`)) {
    message = field + message.slice(wireField.length);
  }
  return new SandboxError(code, message, {
    field,
    retryAfterMs: detail?.retryAfter && durationMs(detail.retryAfter),
    cause: connectError,
  });
}

/** The error that a stream told of without ending. */
export function errorOfReason(reason: ErrorReason, message: string): SandboxError {
  return new SandboxError(codeOfReason(reason) ?? 'unknown', message);
}

/** A reason's name is the code, in lower case: a test compares them all. */
function codeOfReason(reason: ErrorReason): SandboxErrorCode | undefined {
  const name = ErrorReasonSchema.value[reason]?.localName.toLowerCase();
  return name === 'unspecified' ? undefined : (name as SandboxErrorCode | undefined);
}

/** A status is one of ours, or its name is the code. */
function codeOfStatus(status: Code): SandboxErrorCode {
  if (Code[status] === undefined) return 'unknown';
  return OWN_NAMES[status] ?? (codeToString(status) as SandboxErrorCode);
}

/** The error for an argument that is missing, malformed or out of bounds. */
export function invalidArgument(field: string, problem: string): SandboxError {
  return new SandboxError('invalid_argument', `${field}: ${problem}`, { field });
}

/** The error for a call that its caller's signal ended. */
export function canceled(cause: unknown): SandboxError {
  return new SandboxError('canceled', 'the call was canceled by its caller', { cause });
}

/** The error for an address that gives no answer, or none that a gateway would give. */
export function unreachable(problem: string, cause?: unknown): SandboxError {
  return new SandboxError('unreachable', `the gateway cannot be reached: ${problem}`, { cause });
}

/** Whether the network, or something between here and the gateway, is to blame. */
export function isNetworkFailure(error: SandboxError): boolean {
  switch (error.code) {
    case 'unreachable':
    case 'unavailable':
    case 'shutting_down':
      return true;
    default:
      return false;
  }
}

/** Whether the same call may succeed a little later. */
export function isTransient(error: SandboxError): boolean {
  switch (error.code) {
    case 'agent_unavailable':
    case 'conflict':
    case 'deadline_exceeded':
    case 'internal':
    case 'rate_limited':
    case 'slow_reader':
    case 'unknown':
      return true;
    default:
      return isNetworkFailure(error);
  }
}

/** Whether the credential itself is worth nothing, or not any more: another one may help. */
export function isCredentialRefusal(error: SandboxError): boolean {
  switch (error.code) {
    case 'unauthenticated':
    case 'revoked':
    case 'expired':
      return true;
    default:
      return false;
  }
}

/**
 * Whether an answer about the credential ends access. Asked about a single terminal, `not_found`,
 * `destroyed` and `permission_denied` may be about that terminal only.
 */
export function endsAccess(error: SandboxError): boolean {
  switch (error.code) {
    case 'permission_denied':
    case 'origin_not_allowed':
    case 'not_found':
    case 'destroyed':
      return true;
    default:
      return isCredentialRefusal(error);
  }
}

/** Whether a terminal takes no input any more. */
export function endsTerminal(error: SandboxError): boolean {
  switch (error.code) {
    case 'access_ended':
    case 'closed':
    case 'destroyed':
    case 'exited':
    case 'lost':
    case 'not_found':
      return true;
    default:
      return false;
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** fetch() hides the cause of a failure one or two levels deep. */
function describeFailure(error: ConnectError): string {
  let text = error.rawMessage || 'no answer';
  let cause: unknown = error.cause instanceof Error ? error.cause.cause : undefined;
  for (let depth = 0; depth < 3 && cause instanceof Error; depth += 1) {
    const { code } = cause as { code?: unknown };
    text += `: ${cause.message || String(code ?? cause.name)}`;
    cause = cause.cause;
  }
  return text;
}
