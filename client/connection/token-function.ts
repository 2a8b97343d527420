import { SandboxError } from '../errors.ts';
import { abortError, linkController, waitFor } from './abort.ts';
import type { Clock } from './clock.ts';
import { checkToken } from './credential.ts';

/**
 * Why a token is asked for.
 *
 * - `connect`: there is none yet.
 * - `expiring`: the present one ends soon, and is good until then.
 * - `refused`: the present one was refused, because it expired or was revoked.
 */
export type TokenReason = 'connect' | 'expiring' | 'refused';

/** What a {@link TokenFunction} is called with. */
export interface TokenRequest {
  /** Why a token is asked for. Do not answer `refused` with a token that was given before. */
  readonly reason: TokenReason;
  /** Fires when nobody waits for the token any more: at a disconnect, and after 30 seconds. */
  readonly signal: AbortSignal;
}

/**
 * Gives a session token, for example by asking your backend for a new one. It is not
 * called again before it answered, or 30 seconds passed. When it throws, it is called again after a while, as long as that can help: until
 * the old token was revoked, or expired a minute ago. It can end that early by a
 * {@link SandboxError} whose code is not transient, for example `unauthenticated`.
 */
export type TokenFunction = (request: TokenRequest) => string | Promise<string>;

/** How long the function may take. */
export const TOKEN_FUNCTION_LIMIT_MS = 30_000;

/** Asks for a token. What is thrown says that the function is to blame. */
export async function askForToken(
  giveToken: TokenFunction,
  reason: TokenReason,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<string> {
  const attempt = linkController(signal);
  const limit = new SandboxError(
    'deadline_exceeded',
    `it gave none within ${TOKEN_FUNCTION_LIMIT_MS} ms`,
  );
  const timer = clock.setTimer(() => attempt.abort(limit), TOKEN_FUNCTION_LIMIT_MS);
  try {
    // A function that throws at once is one that fails.
    const given = (async () => giveToken({ reason, signal: attempt.signal }))();
    return checkToken('token', await waitFor(given, attempt.signal));
  } catch (error) {
    throw signal.aborted ? abortError(signal) : functionFailed(error);
  } finally {
    timer.clear();
    attempt.unlink();
  }
}

/** The error for a function that gave no token, or none that is any good. */
export function functionFailed(cause: unknown): SandboxError {
  const problem = cause instanceof Error ? cause.message : String(cause);
  const message = `token: the function that gives the token failed: ${problem}`;
  const retryAfterMs = cause instanceof SandboxError ? cause.retryAfterMs : undefined;
  return new SandboxError('unauthenticated', message, { field: 'token', retryAfterMs, cause });
}
