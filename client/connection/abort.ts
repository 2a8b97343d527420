import { canceled, SandboxError } from '../errors.ts';
import type { Clock } from './clock.ts';

/** A controller that also aborts when one of the signals it was linked to does. */
export interface LinkedController {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
  /** Lets go of the linked signals. A long-lived signal would otherwise collect listeners. */
  unlink(): void;
}

/** Links a new controller to signals. Its owner calls `unlink` in `finally`. */
export function linkController(...signals: readonly (AbortSignal | undefined)[]): LinkedController {
  const controller = new AbortController();
  const onAbort = (event: Event): void => {
    controller.abort(event.target instanceof AbortSignal ? event.target.reason : undefined);
  };
  for (const signal of signals) {
    if (signal?.aborted) controller.abort(signal.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
  }
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    unlink() {
      for (const signal of signals) signal?.removeEventListener('abort', onAbort);
    },
  };
}

/** The typed error for an aborted signal: its reason if that is one of ours, else `canceled`. */
export function abortError(signal: AbortSignal): SandboxError {
  return signal.reason instanceof SandboxError ? signal.reason : canceled(signal.reason);
}

/** Throws the signal's typed error if it is aborted. */
function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

/** Waits for a promise, or throws as soon as the signal fires. */
export async function waitFor<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  throwIfAborted(signal);
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(abortError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort) signal.removeEventListener('abort', onAbort);
  }
}

/** Waits for a time, or throws as soon as the signal fires. */
export async function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  throwIfAborted(signal);
  if (delayMs <= 0) return;
  let wake: () => void = () => {};
  const elapsed = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const timer = clock.setTimer(wake, delayMs);
  try {
    await waitFor(elapsed, signal);
  } finally {
    timer.clear();
  }
}
