import type { AuditActor, AuditTrail } from '../../core/audit.ts';
import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { Authenticator } from './authenticator.ts';
import type { BrowserSessionStore } from './browser-session.ts';
import { callerOfToken, type TokenCaller } from './caller.ts';
import { hashSecret, isSecret } from './link-secrets.ts';
import { tokenEnded } from './refusals.ts';
import { readSessionCookie } from './session-cookie.ts';
import type { SessionToken } from './session-token.ts';
import type { TokenEnded } from './session-tokens.ts';
import type { TokenUsage } from './token-usage.ts';

/** Browser sessions remembered. Above it the one read longest ago is forgotten and read anew. */
const MAX_KNOWN_SESSIONS = 20_000;

export type BrowserSessionsOptions = {
  readonly store: BrowserSessionStore;
  /** Knows which tokens ended while a read was under way, and that an expired one stays so. */
  readonly bearer: Pick<Authenticator, 'assertStillValid' | 'expire'>;
  readonly usage: TokenUsage;
  readonly clock: Clock;
  /** Refuses new calls of a token and ends its live ones. Called when the store has it. */
  readonly onEnded: TokenEnded;
  readonly audit: AuditTrail;
};

/** The newest token of each sandbox that a browser is signed in to, by the sandbox's id. */
type Callers = ReadonlyMap<string, TokenCaller>;

/** Knows browsers by their cookie, and signs them out. */
export class BrowserSessions {
  readonly #options: BrowserSessionsOptions;
  /** By the cookie's text. */
  readonly #known = new Map<string, Callers>();
  /** The cookie of every token in `#known`, by the token's id. */
  readonly #cookies = new Map<string, string>();

  constructor(options: BrowserSessionsOptions) {
    this.#options = options;
  }

  /** The caller of a cookie that was read before: no I/O. Throws EXPIRED. */
  callerCached(cookie: string, sandboxId: string, now: number): TokenCaller | undefined {
    const caller = this.#known.get(cookie)?.get(sandboxId);
    if (!caller) return undefined;
    if (caller.expiresAt <= now) {
      this.#options.bearer.expire(caller.principal.id, now);
      this.forget(cookie);
      throw tokenEnded('EXPIRED');
    }
    this.#options.usage.touch(caller.principal.id, now);
    return caller;
  }

  /** The caller of a cookie in a sandbox. Undefined for an unknown cookie. Throws REVOKED, EXPIRED or DESTROYED. */
  async callerOf(cookie: string, sandboxId: string, now: number): Promise<TokenCaller | undefined> {
    const cached = this.callerCached(cookie, sandboxId, now);
    if (cached) return cached;
    const tokens = (await this.#read(cookie)).filter((token) => token.sandboxId === sandboxId);
    const [newest] = tokens;
    if (!newest) return undefined;
    return this.callerCached(cookie, sandboxId, now) ?? this.#refuse(newest, now);
  }

  /** The sandbox that the browser was signed in to last. */
  async newestSandbox(cookies: string | undefined): Promise<string | undefined> {
    const cookie = readSessionCookie(cookies);
    if (cookie.kind !== 'found') return undefined;
    const now = this.#options.clock.now();
    const tokens = await this.#read(cookie.value);
    return tokens.find((token) => isLive(token, now))?.sandboxId;
  }

  /** When the last of a session's tokens ends. */
  async expiryOf(cookie: string): Promise<number | undefined> {
    const now = this.#options.clock.now();
    const live = (await this.#read(cookie)).filter((token) => isLive(token, now));
    return live.length === 0 ? undefined : Math.max(...live.map(({ expiresAt }) => expiresAt));
  }

  /** Revokes what the browser may do, in one sandbox or in all. Resolves with whether its cookie is worth nothing now. */
  async signOut(
    cookies: string | undefined,
    sandboxId: string | undefined,
    actor: AuditActor,
  ): Promise<boolean> {
    const cookie = readSessionCookie(cookies);
    if (cookie.kind !== 'found') return true;
    const { store, clock, onEnded, audit } = this.#options;
    const hash = hashSecret(cookie.value);
    const { endedTokenIds, isGone } = await store.end({ hash, sandboxId, now: clock.now() });
    this.forget(cookie.value);
    // All at once: a client that reads slowly keeps nobody else's access alive.
    const ended = endedTokenIds.map((id) => onEnded(id, tokenEnded('REVOKED')));
    for (const id of endedTokenIds) {
      audit.record({
        ...{ event: 'browser.signed_out', subject: id, ...actor },
        ...(sandboxId !== undefined && { sandboxId }),
      });
    }
    await Promise.all(ended);
    return isGone;
  }

  /** Reads the session anew when it is needed again. */
  forget(cookie: string): void {
    for (const caller of this.#known.get(cookie)?.values() ?? []) {
      this.#cookies.delete(caller.principal.id);
    }
    this.#known.delete(cookie);
  }

  /** A token ended: what was remembered of its session is not true any more. */
  forgetToken(tokenId: string): void {
    const cookie = this.#cookies.get(tokenId);
    if (cookie !== undefined) this.forget(cookie);
  }

  /** Every token of a sandbox ended. */
  forgetSandbox(sandboxId: string): void {
    for (const [cookie, callers] of this.#known) {
      if (callers.has(sandboxId)) this.forget(cookie);
    }
  }

  /** Forgets sessions whose tokens are all forgotten. */
  purge(): Promise<void> {
    return this.#options.store.purge();
  }

  async #read(cookie: string): Promise<readonly SessionToken[]> {
    if (!isSecret(cookie)) return [];
    const session = await this.#options.store.find(hashSecret(cookie));
    if (!session) return [];
    this.#remember(cookie, this.#callersOf(session.tokens));
    return session.tokens;
  }

  #callersOf(tokens: readonly SessionToken[]): Callers {
    const now = this.#options.clock.now();
    const callers = new Map<string, TokenCaller>();
    for (const token of tokens) {
      if (callers.has(token.sandboxId) || !isLive(token, now)) continue;
      const caller = callerOfToken(token, 'cookie');
      if (!this.#hasEnded(caller, now)) callers.set(token.sandboxId, caller);
    }
    return callers;
  }

  /** Whether the token ended while it was being read. */
  #hasEnded(caller: TokenCaller, now: number): boolean {
    try {
      this.#options.bearer.assertStillValid(caller, now);
      return false;
    } catch {
      return true;
    }
  }

  #remember(cookie: string, callers: Callers): void {
    this.forget(cookie);
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_KNOWN_SESSIONS && oldest !== undefined) this.forget(oldest);
    this.#known.set(cookie, callers);
    for (const caller of callers.values()) this.#cookies.set(caller.principal.id, cookie);
  }

  #refuse(token: SessionToken, now: number): never {
    if (token.endReason) throw tokenEnded(token.endReason);
    if (token.expiresAt <= now) this.#options.bearer.expire(token.id, now);
    this.#options.bearer.assertStillValid(callerOfToken(token, 'cookie'), now);
    throw new DomainError('INTERNAL', 'a browser session was not remembered');
  }
}

function isLive(token: SessionToken, now: number): boolean {
  return token.endReason === null && token.expiresAt > now;
}
