import { DomainError } from '../../core/domain-error.ts';
import type { Logger } from '../../core/log.ts';
import type { ApiKeyCheck } from './api-key.ts';
import { type Caller, callerOfToken, type TokenCaller } from './caller.ts';
import { tokenEnded, unauthenticated } from './refusals.ts';
import type { SessionToken, SessionTokenStore } from './session-token.ts';
import type { TokenSigner } from './token-signer.ts';
import type { TokenUsage } from './token-usage.ts';

/** Verified tokens remembered. Above it the one verified longest ago is forgotten and verified anew. */
const MAX_KNOWN_TOKENS = 20_000;
/** Ended tokens and sandboxes remembered for calls that are being authenticated at that moment. */
const MAX_RECENTLY_ENDED = 10_000;
/** The longest credential that is looked at, in characters. */
const MAX_CREDENTIAL_CHARS = 2048;

export type AuthenticatorOptions = {
  readonly apiKey: ApiKeyCheck;
  readonly signer: TokenSigner;
  readonly store: Pick<SessionTokenStore, 'get' | 'end'>;
  readonly usage: TokenUsage;
  readonly logger: Logger;
};

/** Checks Authorization headers: API keys by hash, session tokens by signature and then by the store's row. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  /** Callers by the token's text. A token has one accepted spelling, so one entry. */
  readonly #known = new Map<string, TokenCaller>();
  /** The texts in `#known`, by the token's id. */
  readonly #texts = new Map<string, string>();
  /** Counts changes of records, so that what was read before one is not remembered after it. */
  #changes = 0;
  /** Why tokens and sandboxes ended, by id. What is in here is never let in, whatever a read under way found. */
  readonly #ended = new Map<string, DomainError>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** As `Authentication.authenticate`, for an Authorization header. */
  async authenticate(authorization: string | undefined, now: number): Promise<Caller> {
    const cached = this.authenticateCached(authorization, now);
    if (cached) return cached;
    const text = credentialOf(authorization);
    const claims = text === undefined ? undefined : await this.#options.signer.verify(text);
    if (text === undefined || !claims) throw unauthenticated();
    this.#assertNotEnded(claims.jti, claims.aud);
    const changes = this.#changes;
    const token = await this.#options.store.get(claims.jti);
    if (!token || !this.#options.signer.matches(claims, token)) throw unauthenticated();
    const caller = this.#admit(token, now);
    if (changes === this.#changes) this.#remember(text, caller);
    this.#options.usage.touch(token.id, now);
    return caller;
  }

  /** As `Authentication.authenticateCached`, for an Authorization header. */
  authenticateCached(authorization: string | undefined, now: number): Caller | undefined {
    const text = credentialOf(authorization);
    if (text === undefined) return undefined;
    const known = this.#known.get(text);
    if (!known) return this.#options.apiKey.callerOf(text);
    if (known.expiresAt <= now) {
      this.expire(known.principal.id, now);
      return undefined;
    }
    this.#options.usage.touch(known.principal.id, now);
    return known;
  }

  /**
   * The caller of a session token or API key by its id, for what was granted to it. Throws
   * UNAUTHENTICATED, REVOKED, EXPIRED or DESTROYED.
   */
  async callerOfId(id: string, now: number): Promise<Caller> {
    const owner = this.#options.apiKey.callerOfId(id);
    if (owner) return owner;
    const token = await this.#options.store.get(id);
    if (!token) throw unauthenticated();
    this.#options.usage.touch(id, now);
    return this.#admit(token, now);
  }

  /** As `Authentication.assertStillValid`. */
  assertStillValid(caller: Caller, now: number): void {
    if (caller.kind === 'api_key') return;
    this.#assertNotEnded(caller.principal.id, caller.sandboxId);
    if (caller.expiresAt <= now) throw tokenEnded('EXPIRED');
  }

  /** Whether a text is the API key. */
  isApiKey(text: string): boolean {
    return this.#options.apiKey.callerOf(text) !== undefined;
  }

  /** The token's record changed: its next call reads it. Called after the store has it. */
  renewToken(tokenId: string): void {
    this.#changes += 1;
    this.#forget(tokenId);
  }

  /** Refuses a token from now on. Called after the store has it. */
  endToken(tokenId: string, cause: DomainError): void {
    this.#keepEnded(tokenId, cause);
    this.#forget(tokenId);
  }

  /** Refuses every token of a sandbox from now on. Called after the store has it. */
  endSandbox(sandboxId: string, cause: DomainError): void {
    this.#keepEnded(sandboxId, cause);
    for (const caller of this.#known.values()) {
      if (caller.sandboxId === sandboxId) this.#forget(caller.principal.id);
    }
  }

  #admit(token: SessionToken, now: number): TokenCaller {
    this.#assertNotEnded(token.id, token.sandboxId);
    if (token.endReason) throw refused(tokenEnded(token.endReason), token.id);
    if (token.expiresAt <= now) {
      this.expire(token.id, now);
      throw refused(tokenEnded('EXPIRED'), token.id);
    }
    return callerOfToken(token, 'bearer');
  }

  /** An expired token stays so, even if the clock is set back: memory now, the store soon. */
  expire(tokenId: string, now: number): void {
    this.endToken(tokenId, tokenEnded('EXPIRED'));
    this.#options.store.end(tokenId, 'EXPIRED', now).catch((error: unknown) => {
      this.#options.logger.error('cannot keep that a session token expired', { tokenId, error });
    });
  }

  #remember(text: string, caller: TokenCaller): void {
    const [oldest] = this.#known.values();
    if (this.#known.size >= MAX_KNOWN_TOKENS && oldest) this.#forget(oldest.principal.id);
    this.#known.set(text, caller);
    this.#texts.set(caller.principal.id, text);
  }

  #forget(tokenId: string): void {
    const text = this.#texts.get(tokenId);
    if (text !== undefined) this.#known.delete(text);
    this.#texts.delete(tokenId);
  }

  #keepEnded(id: string, cause: DomainError): void {
    const [oldest] = this.#ended.keys();
    if (this.#ended.size >= MAX_RECENTLY_ENDED && oldest !== undefined) this.#ended.delete(oldest);
    if (!this.#ended.has(id)) this.#ended.set(id, cause);
  }

  #assertNotEnded(tokenId: string, sandboxId: string): void {
    const cause = this.#ended.get(tokenId) ?? this.#ended.get(sandboxId);
    if (cause) throw refused(cause, tokenId);
  }
}

/** The refusal of one token, which the audit log can name. */
function refused({ reason, message }: DomainError, tokenId: string): DomainError {
  return new DomainError(reason, message, { subjectId: tokenId });
}

function credentialOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.length > MAX_CREDENTIAL_CHARS) return undefined;
  if (authorization.startsWith('Bearer ') && !authorization.includes(' ', 7))
    return authorization.slice(7);
  return /^bearer +(\S+) *$/i.exec(authorization)?.[1];
}
