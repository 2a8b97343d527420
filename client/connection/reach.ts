import { isTransient, toSandboxError, unreachable } from '../errors.ts';
import { abortError, linkController } from './abort.ts';
import type { Clock, Timer } from './clock.ts';

/** Asks the gateway for a sign of life. Rejects if there is none or access is refused. */
export type Probe = (signal: AbortSignal) => Promise<unknown>;

/** How long the first question of an attempt is waited for. */
const ATTEMPT_LIMIT_MS = 10_000;
/** While the first question is open, a new one is asked this often; each lives this long. */
const HEDGE_MS = 1_000;

/**
 * One attempt to reach the gateway. A question that was sent into a black hole may never be
 * answered, even after the network is back, so it is asked again every second on the side: the
 * attempt succeeds within a second of the return, and slow links still get their ten.
 */
export function reach(probe: Probe, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const attempt = linkController(signal);
    let hedge: AbortController | undefined;
    let hedgeTimer: Timer | undefined;
    const finish = (settle: () => void): void => {
      hedgeTimer?.clear();
      limitTimer.clear();
      attempt.unlink();
      settle();
      hedge?.abort();
      attempt.abort();
    };
    const limitTimer = clock.setTimer(
      () => finish(() => reject(unreachable(`no answer within ${ATTEMPT_LIMIT_MS} ms`))),
      ATTEMPT_LIMIT_MS,
    );
    const askAgain = (): void => {
      hedge?.abort();
      const controller = new AbortController();
      hedge = controller;
      hedgeTimer = clock.setTimer(askAgain, HEDGE_MS);
      probe(controller.signal).then(
        () => finish(resolve),
        (error: unknown) => {
          const failure = toSandboxError(error);
          if (controller.signal.aborted || isTransient(failure)) return;
          finish(() => reject(failure));
        },
      );
    };
    hedgeTimer = clock.setTimer(askAgain, HEDGE_MS);
    probe(attempt.signal).then(
      () => finish(resolve),
      (error: unknown) => {
        finish(() => reject(signal.aborted ? abortError(signal) : toSandboxError(error)));
      },
    );
  });
}

/** Asks once and waits `limitMs` at the most. */
export async function askOnce<T>(
  question: (signal: AbortSignal) => Promise<T>,
  limitMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  const attempt = linkController(signal);
  const limit = unreachable(`no answer within ${limitMs} ms`);
  const timer = clock.setTimer(() => attempt.abort(limit), limitMs);
  try {
    return await question(attempt.signal);
  } catch (error) {
    throw attempt.signal.aborted ? abortError(attempt.signal) : toSandboxError(error);
  } finally {
    timer.clear();
    attempt.unlink();
    attempt.abort();
  }
}
