import { Code, type Interceptor } from '@connectrpc/connect';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import { toConnectError } from '../../rpc/connect-error.ts';
import { principalFromHeaders } from '../../rpc/principal-headers.ts';

/** Calls that come with every key and every piece of output. */
export const FREQUENT: ReadonlySet<string> = new Set(['WriteTerminal', 'AcknowledgeTerminal']);

/** Logs every call with one line when it ends, and turns what it threw into what a caller may see. */
export function callInterceptor(logger: Logger, clock: Clock): Interceptor {
  return (next) => async (request) => {
    const startedAt = clock.monotonic();
    const line = (code: string, messages: number, error?: unknown) => {
      const { name } = request.method;
      const level =
        code === 'Internal' ? 'error' : FREQUENT.has(name) && code === 'OK' ? 'debug' : 'info';
      const durationMs = Math.round(clock.monotonic() - startedAt);
      const principal = principalFromHeaders(request.header).id;
      logger[level]('call', {
        method: name,
        principal,
        code,
        durationMs,
        messages,
        ...(level === 'error' && { error }),
      });
    };
    const failed = (error: unknown, messages: number) => {
      const translated = toConnectError(error);
      // A caller that left is not an error.
      line(
        request.signal.aborted ? 'Canceled' : (Code[translated.code] ?? 'Unknown'),
        messages,
        error,
      );
      return translated;
    };
    try {
      const response = await next(request);
      if (!response.stream) {
        line('OK', 1);
        return response;
      }
      const message = guard(
        response.message,
        (messages) => line(endOf(request.signal), messages),
        failed,
      );
      return { ...response, message };
    } catch (error) {
      throw failed(error, 0);
    }
  };
}

function endOf(signal: AbortSignal): string {
  return signal.aborted ? 'Canceled' : 'OK';
}

async function* guard<T>(
  messages: AsyncIterable<T>,
  ended: (messages: number) => void,
  failed: (error: unknown, messages: number) => Error,
): AsyncGenerator<T> {
  let count = 0;
  let failure: Error | undefined;
  try {
    for await (const message of messages) {
      count += 1;
      yield message;
    }
  } catch (error) {
    failure = failed(error, count);
    throw failure;
  } finally {
    if (!failure) ended(count);
  }
}
