import { deferred } from './deferred.ts';

/** Resolves with `task`, or rejects with the signal's reason as soon as that aborts. The task runs on. */
export async function untilAborted<T>(task: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    task.catch(() => {}); // Nobody waits for it, so its failure is nobody's.
    throw signal.reason;
  }
  const aborted = deferred<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([task, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
