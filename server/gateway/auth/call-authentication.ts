import type { Authentication, CallCredentials } from './authentication.ts';
import type { Authenticator } from './authenticator.ts';
import type { Caller } from './caller.ts';

/** Tells who makes a call by its Authorization header or, without one, by the cookie of a browser session. */
export class CallAuthentication implements Authentication {
  readonly #bearer: Authenticator;

  constructor(options: { readonly bearer: Authenticator }) {
    this.#bearer = options.bearer;
  }

  authenticate(credentials: CallCredentials, now: number): Promise<Caller> {
    return this.#bearer.authenticate(credentials.authorization, now);
  }

  authenticateCached(credentials: CallCredentials, now: number): Caller | undefined {
    return this.#bearer.authenticateCached(credentials.authorization, now);
  }

  assertStillValid(caller: Caller, now: number): void {
    this.#bearer.assertStillValid(caller, now);
  }
}
