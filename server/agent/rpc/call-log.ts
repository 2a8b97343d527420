import type { DescMethod } from '@bufbuild/protobuf';
import { Code, type Interceptor } from '@connectrpc/connect';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import { toConnectError } from '../../rpc/connect-error.ts';
import { principalFromHeaders } from '../../rpc/principal-headers.ts';
import type { CallEnd } from '../../rpc/served-call.ts';

/** Calls that come with every key and every piece of output. */
export const FREQUENT: ReadonlySet<string> = new Set(['WriteTerminal', 'AcknowledgeTerminal']);

/** Logs every call with one line when it ends. */
export class CallLog {
  readonly #logger: Logger;
  readonly #clock: Clock;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Notes that a call begins. What it returns is told of the end. */
  begin(method: DescMethod, header: Headers): (end: CallEnd) => void {
    const startedAt = this.#clock.monotonic();
    return ({ messages, error, isCanceled }) => {
      const { name } = method;
      const failure = error === undefined ? 'OK' : (Code[toConnectError(error).code] ?? 'Unknown');
      // A caller that left is not an error.
      const code = isCanceled ? 'Canceled' : failure;
      const isQuiet = FREQUENT.has(name) && code === 'OK';
      const level = code === 'Internal' ? 'error' : isQuiet ? 'debug' : 'info';
      this.#logger[level]('call', {
        method: name,
        principal: principalFromHeaders(header).id,
        ...{ code, durationMs: Math.round(this.#clock.monotonic() - startedAt), messages },
        ...(level === 'error' && { error }),
      });
    };
  }

  /** For calls over HTTP. It also turns what they threw into what a caller may see. */
  interceptor(): Interceptor {
    return (next) => async (request) => {
      const { signal } = request;
      const onEnd = this.begin(request.method, request.header);
      const end = (messages: number, error?: unknown) =>
        onEnd({ messages, error, isCanceled: signal.aborted });
      try {
        const response = await next(request);
        if (response.stream) return { ...response, message: watched(response.message, end) };
        onEnd({ messages: 1, error: undefined, isCanceled: false });
        return response;
      } catch (error) {
        end(0, error);
        throw toConnectError(error);
      }
    };
  }
}

async function* watched<T>(
  messages: AsyncIterable<T>,
  onEnd: (messages: number, error?: unknown) => void,
): AsyncGenerator<T> {
  let count = 0;
  let failure: unknown;
  try {
    for await (const message of messages) {
      count += 1;
      yield message;
    }
  } catch (error) {
    failure = error;
    throw toConnectError(error);
  } finally {
    onEnd(count, failure);
  }
}
