import type { Caller } from './caller.ts';

/** Tells who makes a call from its Authorization header. `now` is milliseconds since the epoch. */
export interface Authentication {
  /**
   * The caller. Throws UNAUTHENTICATED (the same for every forged, malformed or missing
   * credential), REVOKED, EXPIRED, or DESTROYED when the token's sandbox is gone.
   */
  authenticate(authorization: string | undefined, now: number): Promise<Caller>;
  /**
   * The caller of a credential that was verified before: a Map lookup, no I/O. Undefined when
   * {@link authenticate} must decide.
   */
  authenticateCached(authorization: string | undefined, now: number): Caller | undefined;
  /**
   * Throws if the caller's credential ended since it was authenticated. Whoever registers a live
   * call after an await calls this right after registering, so that a revocation in between is seen.
   */
  assertStillValid(caller: Caller, now: number): void;
}
