import type { ClientAddress } from '../../core/client-address.ts';
import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { RateLimit } from '../../core/rate-limit.ts';

/** Requests that fail authentication, or need none, from one address at once. Above it: RATE_LIMITED. */
export const ADDRESS_BURST = 10_000;
/** How many of them come back in a second. */
export const ADDRESS_FAILURES_PER_SECOND = 100;
/** The most addresses remembered; about 15 MB. Those unused for longest are forgotten. */
const MAX_ADDRESSES = 100_000;
/** The shortest wait that a refused client is told, in milliseconds. */
export const MIN_RETRY_AFTER_MS = 1_000;

/** Limits what a client may do without a valid credential: guess, and look at pages. */
export interface AddressLimiter {
  /** Throws RATE_LIMITED if the client has nothing left. For a request that may turn out to be honest. */
  check(client: ClientAddress): void;
  /** Takes one of what the client has. Throws RATE_LIMITED if it has nothing left. */
  take(client: ClientAddress): void;
}

/** An {@link AddressLimiter} with the numbers above. */
export function addressLimiter(clock: Clock): AddressLimiter {
  const limit = new RateLimit({
    burst: ADDRESS_BURST,
    perSecond: ADDRESS_FAILURES_PER_SECOND,
    maxKeys: MAX_ADDRESSES,
    clock,
  });
  return {
    check: (client) => {
      if (client.isLimited) refuseFor(limit.wait(client.bucket));
    },
    take: (client) => {
      if (client.isLimited) refuseFor(limit.take(client.bucket));
    },
  };
}

function refuseFor(waitMs: number): void {
  if (waitMs <= 0) return;
  throw new DomainError(
    'RATE_LIMITED',
    'too many requests without a valid credential came from your address: wait before you try again',
    { retryAfterMs: Math.max(MIN_RETRY_AFTER_MS, Math.ceil(waitMs)) },
  );
}
