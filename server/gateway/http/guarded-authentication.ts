import type { AuditTrail } from '../../core/audit.ts';
import type { ClientAddress } from '../../core/client-address.ts';
import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { RateLimit } from '../../core/rate-limit.ts';
import type { Authentication, CallCredentials } from '../auth/authentication.ts';
import type { Caller } from '../auth/caller.ts';
import { type AddressLimiter, MIN_RETRY_AFTER_MS } from './address-limiter.ts';

/** Calls of one session token or API key at once. Above it: RATE_LIMITED. Far above what honest use needs. */
export const CREDENTIAL_BURST = 20_000;
/** How many of them come back in a second. */
export const CREDENTIAL_CALLS_PER_SECOND = 2_000;
/** The most credentials remembered, as many as the authenticator knows. Those unused for longest are forgotten. */
const MAX_CREDENTIALS = 20_000;

export type GuardedAuthenticationOptions = {
  readonly inner: Authentication;
  readonly addresses: AddressLimiter;
  /** Takes refusals; it samples them. */
  readonly audit: AuditTrail;
  readonly clock: Clock;
};

/** An authentication that limits how often it is asked, and tells the audit log of what it refuses. */
export class GuardedAuthentication implements Authentication {
  readonly #options: GuardedAuthenticationOptions;
  readonly #calls: RateLimit;

  constructor(options: GuardedAuthenticationOptions) {
    this.#options = options;
    this.#calls = new RateLimit({
      burst: CREDENTIAL_BURST,
      perSecond: CREDENTIAL_CALLS_PER_SECOND,
      maxKeys: MAX_CREDENTIALS,
      clock: options.clock,
    });
  }

  async authenticate(credentials: CallCredentials, now: number): Promise<Caller> {
    const known = this.authenticateCached(credentials, now);
    if (known) return known;
    const { inner, addresses } = this.#options;
    const client = credentials.client?.();
    // Before the credential is looked at: a limit that lets the right guess through limits nothing.
    if (client) addresses.check(client);
    let caller: Caller;
    try {
      caller = await inner.authenticate(credentials, now);
    } catch (error) {
      if (error instanceof DomainError) this.#onRefused(credentials, error, client);
      throw error;
    }
    this.#spend(caller);
    return caller;
  }

  authenticateCached(credentials: CallCredentials, now: number): Caller | undefined {
    const caller = this.#options.inner.authenticateCached(credentials, now);
    if (!caller) return undefined;
    // A token that is known was no guess. An API key is compared each time, and could be one.
    if (caller.kind === 'api_key' && credentials.client) {
      this.#options.addresses.check(credentials.client());
    }
    this.#spend(caller);
    return caller;
  }

  assertStillValid(caller: Caller, now: number): void {
    this.#options.inner.assertStillValid(caller, now);
  }

  #spend(caller: Caller): void {
    const waitMs = this.#calls.take(caller.principal.id);
    if (waitMs <= 0) return;
    throw new DomainError(
      'RATE_LIMITED',
      `this credential makes more than ${CREDENTIAL_CALLS_PER_SECOND} calls a second: wait before the next one`,
      { retryAfterMs: Math.max(MIN_RETRY_AFTER_MS, Math.ceil(waitMs)) },
    );
  }

  #onRefused(credentials: CallCredentials, error: DomainError, client?: ClientAddress): void {
    const { authorization, origin, sandboxId } = credentials;
    if (client) this.#options.addresses.take(client);
    if (authorization === undefined && credentials.cookie === undefined) return;
    const isKey = error.reason === 'UNAUTHENTICATED' && !looksLikeToken(authorization);
    this.#options.audit.record({
      event: isKey ? 'api_key.refused' : 'session_token.refused',
      actor: error.subjectId ?? 'unknown',
      reason: error.reason,
      ...(error.subjectId !== undefined && { subject: error.subjectId }),
      ...(sandboxId !== undefined && { sandboxId }),
      ...(client && { address: client.address }),
      ...(origin !== undefined && { origin }),
    });
  }
}

/** Session tokens have three parts, with dots between. */
function looksLikeToken(authorization: string | undefined): boolean {
  return authorization === undefined || authorization.split('.', 4).length === 3;
}
