import { invalidArgument } from '../errors.ts';

/** What proves to the gateway who calls. */
export interface Credential {
  /** Puts the credential on the header of a call. Runs before every call and every attempt. */
  authorize(header: Headers): void | Promise<void>;
  /** Whether the browser sends its cookies along. */
  readonly cookies: 'omit' | 'include';
}

/** Printable ASCII without spaces: what both JWTs and API keys are made of. */
const TOKEN = /^[\x21-\x7e]+$/;

/** A session token or an API key. `field` is how the caller spells the argument. */
export function bearerCredential(token: string, field: string): Credential {
  if (typeof token !== 'string' || !TOKEN.test(token)) {
    throw invalidArgument(field, 'must be a string of printable characters without spaces');
  }
  return {
    authorize: (header) => header.set('Authorization', `Bearer ${token}`),
    cookies: 'omit',
  };
}
