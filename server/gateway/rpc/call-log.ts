import type { DescMethod } from '@bufbuild/protobuf';
import { Code, type ConnectError, type ContextValues, type Interceptor } from '@connectrpc/connect';
import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { isId } from '../../core/id.ts';
import type { Logger } from '../../core/log.ts';
import { toConnectError } from '../../rpc/connect-error.ts';
import { CALLER, SANDBOX_ID } from './call-context.ts';

type Call = {
  readonly method: DescMethod;
  readonly values: ContextValues;
  /** The message of a unary call. */
  readonly message?: unknown;
};

export type CallLogOptions = { readonly clock: Clock; readonly logger: Logger };

/** Writes one line per call, and turns errors into what the caller gets to see. */
export class CallLog {
  readonly #options: CallLogOptions;

  constructor(options: CallLogOptions) {
    this.#options = options;
  }

  /** Logs a call that was refused before it began, and returns the caller's error. */
  refused(call: Call, error: unknown): ConnectError {
    return this.#failed(call, error, 0);
  }

  /** The interceptor around every call that was let in. */
  interceptor(): Interceptor {
    return (next) => async (request) => {
      const { method, contextValues: values } = request;
      const call = { method, values, ...(!request.stream && { message: request.message }) };
      const startedAt = this.#options.clock.monotonic();
      const elapsed = () => this.#options.clock.monotonic() - startedAt;
      try {
        const response = await next(request);
        if (!response.stream) {
          this.#line(call, 'ok', elapsed(), { answer: response.message });
          return response;
        }
        return { ...response, message: this.#watch(call, response.message, elapsed) };
      } catch (error) {
        throw this.#failed(call, error, elapsed());
      }
    };
  }

  /** Passes a stream's messages on and logs its end. */
  async *#watch<T>(
    call: Call,
    messages: AsyncIterable<T>,
    elapsed: () => number,
  ): AsyncIterable<T> {
    let outcome = 'canceled';
    try {
      yield* messages;
      outcome = 'ok';
    } catch (error) {
      outcome = '';
      throw this.#failed(call, error, elapsed());
    } finally {
      if (outcome !== '') this.#line(call, outcome, elapsed());
    }
  }

  #failed(call: Call, error: unknown, elapsedMs: number): ConnectError {
    const shown = toConnectError(error);
    const isDefect = shown.code === Code.Internal || shown.code === Code.Unknown;
    const code = error instanceof DomainError ? error.reason : Code[shown.code];
    this.#line(call, code, elapsedMs, { ...(isDefect && { error }) });
    return shown;
  }

  #line(
    call: Call,
    code: string,
    elapsedMs: number,
    seen: { answer?: unknown; error?: unknown } = {},
  ): void {
    const caller = call.values.get(CALLER);
    const fields = {
      method: `${call.method.parent.typeName}/${call.method.name}`,
      code,
      durationMs: Math.round(elapsedMs * 1000) / 1000,
      principal: caller?.principal.id,
      sandboxId: call.values.get(SANDBOX_ID) ?? sandboxIn(call.message) ?? sandboxIn(seen.answer),
    };
    if (seen.error === undefined) this.#options.logger.info('call', fields);
    else this.#options.logger.error('call', { ...fields, error: seen.error });
  }
}

/** The id of the sandbox that a message names. Whatever a client wrote there that is none is not logged. */
function sandboxIn(message: unknown): string | undefined {
  if (typeof message !== 'object' || message === null) return undefined;
  if ('sandbox' in message && typeof message.sandbox === 'object' && message.sandbox !== null) {
    return 'id' in message.sandbox ? String(message.sandbox.id) : undefined;
  }
  const id = 'sandboxId' in message ? message.sandboxId : undefined;
  return typeof id === 'string' && isId('sbx', id) ? id : undefined;
}
