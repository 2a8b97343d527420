import type { Credential } from './connection/credential.ts';
import { SandboxError } from './errors.ts';

/** Where the SDK runs, as far as it explains why a credential did not arrive. */
export type Surroundings = {
  /** The origin of the page. Undefined outside of one. */
  readonly pageOrigin: string | undefined;
  /** What the browser calls itself. */
  readonly userAgent: string;
};

/**
 * Adds to an error of the first contact what most likely caused it and the SDK cannot see: the
 * browser tells no script which cookies it sent, nor that it refused an answer because of its origin.
 */
export function adviseOnConnect(
  error: unknown,
  options: { url: string; credential: Credential; around?: Surroundings },
): unknown {
  const { url, credential, around = surroundings() } = options;
  if (!(error instanceof SandboxError)) return error;
  const gateway = new URL(url);
  if (error.code === 'unreachable') {
    const { pageOrigin } = around;
    if (pageOrigin === undefined || pageOrigin === gateway.origin) return error;
    return withAdvice(
      error,
      `browsers report an origin that is not allowed in the same way: is ${pageOrigin} listed in the gateway's COMPUTESDK_ALLOWED_ORIGINS?`,
    );
  }
  const isRefused = error.code === 'unauthenticated' || error.code === 'origin_not_allowed';
  if (credential.kind !== 'cookie' || !isRefused) return error;
  const causes = cookieCauses(gateway, around).join('; or ');
  return withAdvice(
    error,
    `no token was given, and no valid cookie arrived at ${gateway.origin}: ${causes}`,
  );
}

/** What is known of the page, if there is one. */
function surroundings(): Surroundings {
  const { location, navigator } = globalThis as {
    location?: { readonly origin?: string };
    navigator?: { readonly userAgent?: string };
  };
  return { pageOrigin: location?.origin, userAgent: navigator?.userAgent ?? '' };
}

function cookieCauses(gateway: URL, { pageOrigin, userAgent }: Surroundings): string[] {
  if (pageOrigin === undefined) {
    return ['outside of a browser there is none, so pass `token`'];
  }
  const causes = [
    'the user is not signed in to this sandbox: no magic link of it was used here yet, or the sign-in ended',
  ];
  if (pageOrigin !== gateway.origin) {
    causes.push(`${pageOrigin} is not listed in the gateway's COMPUTESDK_ALLOWED_ORIGINS`);
  }
  if (hostOf(pageOrigin) !== gateway.hostname) {
    causes.push(
      `${pageOrigin} and ${gateway.origin} are of different sites, between which browsers do not send the cookie (SameSite=Lax): serve both below one domain`,
    );
  }
  if (gateway.protocol === 'http:' && isSafari(userAgent)) {
    causes.push(
      'Safari keeps no secure cookie of an http: address: use another browser, or serve the gateway with TLS',
    );
  }
  return causes;
}

function withAdvice(error: SandboxError, advice: string): SandboxError {
  const { field, retryAfterMs } = error;
  return new SandboxError(error.code, `${error.message}; ${advice}`, {
    field,
    retryAfterMs,
    cause: error,
  });
}

/** A page without an origin of its own says `null`. */
function hostOf(origin: string): string {
  return URL.canParse(origin) ? new URL(origin).hostname : '';
}

function isSafari(userAgent: string): boolean {
  return userAgent.includes('Safari/') && !/Chrom(e|ium)\/|Android/.test(userAgent);
}
