import { isTransient, type SandboxError, toSandboxError, unreachable } from '../errors.ts';
import { abortError, linkController, sleep } from './abort.ts';
import { Backoff } from './backoff.ts';
import type { Clock } from './clock.ts';

/** How a call without a connection of its own is repeated. */
export type RetryOptions = {
  readonly signal?: AbortSignal | undefined;
  /** After a failure that comes later than this, in milliseconds, nothing is tried again. Default: no such time. */
  readonly patienceMs?: number;
};

/** How long a call is retried, in milliseconds. Then the last failure is thrown. */
export const RETRY_LIMIT_MS = 30_000;
/** How long one attempt is waited for: in a black hole no answer ever comes. */
const ATTEMPT_LIMIT_MS = 15_000;

/**
 * Makes a call again and again while the network or a restart is to blame. The operation must be
 * safe to repeat: a read, or a creation with a request id.
 */
export async function retry<T>(
  operation: (signal: AbortSignal) => Promise<T>,
  clock: Clock,
  { signal, patienceMs = Infinity }: RetryOptions,
): Promise<T> {
  const caller = linkController(signal);
  const backoff = new Backoff(clock.random);
  const startedAt = clock.now();
  let lastFailure: SandboxError | undefined;
  const timer = clock.setTimer(() => caller.abort(lastFailure), RETRY_LIMIT_MS);
  try {
    for (;;) {
      try {
        return await attemptOnce(operation, clock, caller.signal);
      } catch (error) {
        if (caller.signal.aborted) throw abortError(caller.signal);
        lastFailure = toSandboxError(error);
        if (!isTransient(lastFailure)) throw lastFailure;
        const delayMs = Math.max(backoff.next(), lastFailure.retryAfterMs ?? 0);
        if (clock.now() + delayMs > startedAt + patienceMs) throw lastFailure;
        await sleep(clock, delayMs, caller.signal);
      }
    }
  } finally {
    timer.clear();
    caller.unlink();
  }
}

async function attemptOnce<T>(
  operation: (signal: AbortSignal) => Promise<T>,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  const attempt = linkController(signal);
  const limit = unreachable(`no answer within ${ATTEMPT_LIMIT_MS} ms`);
  const timer = clock.setTimer(() => attempt.abort(limit), ATTEMPT_LIMIT_MS);
  try {
    return await operation(attempt.signal);
  } catch (error) {
    throw attempt.signal.aborted ? abortError(attempt.signal) : error;
  } finally {
    timer.clear();
    attempt.unlink();
  }
}
