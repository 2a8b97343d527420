import { DomainError } from '../../core/domain-error.ts';
import type { Authentication, CallCredentials } from './authentication.ts';
import type { Authenticator } from './authenticator.ts';
import type { BrowserSessions } from './browser-sessions.ts';
import type { Caller } from './caller.ts';
import { notSignedIn, unauthenticated } from './refusals.ts';
import { readSessionCookie } from './session-cookie.ts';

export type CallAuthenticationOptions = {
  readonly bearer: Authenticator;
  readonly sessions: BrowserSessions;
};

/** Tells who makes a call by its Authorization header or, without one, by the cookie of a browser session. */
export class CallAuthentication implements Authentication {
  readonly #bearer: Authenticator;
  readonly #sessions: BrowserSessions;

  constructor(options: CallAuthenticationOptions) {
    this.#bearer = options.bearer;
    this.#sessions = options.sessions;
  }

  async authenticate(credentials: CallCredentials, now: number): Promise<Caller> {
    const { authorization, sandboxId } = credentials;
    const cookie = cookieOf(credentials);
    if (cookie === undefined) return await this.#bearer.authenticate(authorization, now);
    if (sandboxId === undefined) throw notSignedIn();
    const caller = await this.#sessions.callerOf(cookie, sandboxId, now);
    if (!caller) throw notSignedIn();
    return caller;
  }

  authenticateCached(credentials: CallCredentials, now: number): Caller | undefined {
    const { authorization, sandboxId } = credentials;
    const cookie = cookieOf(credentials);
    if (cookie === undefined) return this.#bearer.authenticateCached(authorization, now);
    return sandboxId === undefined
      ? undefined
      : this.#sessions.callerCached(cookie, sandboxId, now);
  }

  assertStillValid(caller: Caller, now: number): void {
    this.#bearer.assertStillValid(caller, now);
  }
}

/**
 * The cookie that speaks for a call, if nothing else does. A page of a foreign site can have a
 * browser send it, so it counts only with the Origin that only a browser writes and that was checked.
 */
function cookieOf({ authorization, cookie, origin }: CallCredentials): string | undefined {
  if (authorization !== undefined || cookie === undefined) return undefined;
  const session = readSessionCookie(cookie);
  if (session.kind === 'absent') return undefined;
  // Pages of the same site can add cookies of our name; which one is ours cannot be told.
  if (session.kind === 'ambiguous') throw unauthenticated();
  if (origin === undefined) {
    throw new DomainError(
      'ORIGIN_NOT_ALLOWED',
      'a call with a cookie needs the Origin header of the page that makes it',
    );
  }
  return session.value;
}
