import {
  Code,
  type ConnectError,
  type Interceptor,
  type StreamResponse,
} from '@connectrpc/connect';
import { type Gate, newGate } from '../../../client/connection/gate.ts';
import { ErrorReason } from '../../../gen/computesdk/v1/error_pb.ts';
import type { FakeClock } from './fake-clock.ts';
import { refusal } from './fake-terminal.ts';

type Call = Parameters<Interceptor>[0];
type Request = Parameters<Call>[0];
type Token = {
  readonly expiresAtMs: number;
  readonly scopes: readonly string[];
  readonly isForeign: boolean;
  /** Fails when the token ends. */
  readonly life: Gate<never>;
  end: ConnectError | undefined;
};

/** Methods that a token without `terminal:write` may call. */
const READS = new Set(['AttachTerminal', 'DetachTerminal', 'GetTerminal', 'ListTerminals']);

/** The token of a call. */
export function tokenOf(header: Headers): string {
  return header.get('authorization')?.replace('Bearer ', '') ?? '';
}

/** The tokens of a fake gateway: whom it lets in, and for how long. */
export class FakeTokens {
  readonly #clock: FakeClock;
  readonly #tokens = new Map<string, Token>();

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  issue(
    text: string,
    options: { lifeMs?: number; scopes?: readonly string[]; isForeign?: boolean } = {},
  ): string {
    const { lifeMs = 600_000, scopes = ['terminal:read', 'terminal:write'] } = options;
    this.#tokens.set(text, {
      expiresAtMs: this.#clock.epochMs() + lifeMs,
      scopes,
      isForeign: options.isForeign ?? false,
      life: newGate<never>(),
      end: undefined,
    });
    return text;
  }

  revoke(text: string): void {
    const token = this.#tokens.get(text);
    if (!token) return;
    token.end = refusal(Code.Unauthenticated, ErrorReason.REVOKED);
    token.life.fail(token.end);
  }

  expiresAtMs(text: string): number | undefined {
    return this.#tokens.get(text)?.expiresAtMs;
  }

  /** Lets a call pass, and ends its stream when its token ends. */
  async guard(next: Call, request: Request): ReturnType<Call> {
    const token = this.#check(request.method.name, tokenOf(request.header));
    const response = await next(request);
    if (!response.stream) return response;
    return { ...response, message: this.#untilEnd(token, response.message, request.signal) };
  }

  #check(method: string, text: string): Token {
    const token = this.#tokens.get(text);
    if (!token) throw refusal(Code.Unauthenticated, ErrorReason.UNAUTHENTICATED);
    if (token.end) throw token.end;
    if (token.expiresAtMs <= this.#clock.epochMs()) throw expired();
    const needed = READS.has(method) ? 'terminal:read' : 'terminal:write';
    const isFree = ['WhoAmI', 'RefreshCredential'].includes(method);
    if (token.isForeign || !(isFree || token.scopes.includes(needed))) {
      throw refusal(Code.PermissionDenied, ErrorReason.PERMISSION_DENIED);
    }
    return token;
  }

  async *#untilEnd(
    token: Token,
    messages: StreamResponse['message'],
    signal: AbortSignal,
  ): StreamResponse['message'] {
    const expiry = newGate<never>();
    const timer = this.#clock.setTimer(
      () => expiry.fail(expired()),
      token.expiresAtMs - this.#clock.epochMs(),
    );
    // A stream that nobody pulls any more never reaches its `finally`.
    signal.addEventListener('abort', () => timer.clear());
    const iterator = messages[Symbol.asyncIterator]();
    try {
      for (;;) {
        const message = iterator.next();
        message.catch(() => {});
        const result = await Promise.race([message, token.life.passed, expiry.passed]);
        if (result.done) return;
        yield result.value;
      }
    } finally {
      timer.clear();
      void iterator.return?.();
    }
  }
}

function expired(): ConnectError {
  return refusal(Code.Unauthenticated, ErrorReason.EXPIRED);
}
