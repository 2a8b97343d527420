import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect';
import { MAX_TIMER_MS } from '../core/clock.ts';

/** How the library's errors about a request begin that it calls its own. */
const INPUT_ERRORS = ['parse binary: ', 'received compressed envelope', 'decompression failed'];
/** Milliseconds in the units of `grpc-timeout`. */
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1 };

/**
 * Makes INVALID_ARGUMENT of what the library calls INTERNAL although the request is to blame. It
 * hands an error to the call's signal right before it serializes it.
 */
export function blameRequest(context: HandlerContext): void {
  const { signal } = context;
  const onAbort = () => {
    const error: unknown = signal.reason;
    if (!(error instanceof ConnectError) || error.code !== Code.Internal) return;
    if (!INPUT_ERRORS.some((beginning) => error.rawMessage.startsWith(beginning))) return;
    Object.assign(error, { code: Code.InvalidArgument });
  };
  signal.addEventListener('abort', onAbort, { once: true });
}

/**
 * Shortens a call's timeout to what a timer can hold (24 days). The library would refuse a longer
 * one, although it is as good as none, and set a timer that fires at once.
 */
export function limitTimeout(header: Headers): void {
  if (Number(header.get('connect-timeout-ms') ?? 0) > MAX_TIMER_MS) {
    header.set('connect-timeout-ms', String(MAX_TIMER_MS));
  }
  const [, digits, unit = ''] = /^(\d{1,8})([HMSm])$/.exec(header.get('grpc-timeout') ?? '') ?? [];
  if (Number(digits ?? 0) * (UNIT_MS[unit] ?? 0) > MAX_TIMER_MS) {
    header.set('grpc-timeout', `${Math.floor(MAX_TIMER_MS / 1_000)}S`);
  }
}
