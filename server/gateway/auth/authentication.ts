import type { ClientAddress } from '../../core/client-address.ts';
import type { Caller } from './caller.ts';

/** All of a request that can say who makes it. */
export type CallCredentials = {
  /** The Authorization header. */
  readonly authorization: string | undefined;
  /** The Cookie header. It counts only where there is no Authorization. */
  readonly cookie: string | undefined;
  /** The Origin header, checked against the list of origins before. A cookie is worth nothing without it. */
  readonly origin: string | undefined;
  /** The sandbox below whose address the request is made. A cookie opens nothing elsewhere. */
  readonly sandboxId: string | undefined;
  /** Where the call comes from, for limits and the audit log. Most calls never need it. */
  readonly client?: () => ClientAddress;
};

/** Tells who makes a call. `now` is milliseconds since the epoch. */
export interface Authentication {
  /**
   * The caller. Throws UNAUTHENTICATED (the same for every forged, malformed or missing
   * credential), REVOKED, EXPIRED, or DESTROYED when the token's sandbox is gone.
   */
  authenticate(credentials: CallCredentials, now: number): Promise<Caller>;
  /**
   * The caller of a credential that was verified before: a Map lookup, no I/O. Undefined when
   * {@link authenticate} must decide.
   */
  authenticateCached(credentials: CallCredentials, now: number): Caller | undefined;
  /**
   * Throws if the caller's credential ended since it was authenticated. Whoever registers a live
   * call after an await calls this right after registering, so that a revocation in between is seen.
   */
  assertStillValid(caller: Caller, now: number): void;
}
