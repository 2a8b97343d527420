import { invalidArgument } from '../errors.ts';

/** What proves to the gateway who calls. */
export interface Credential {
  /** What it is. A cookie is the browser's to keep and to send. */
  readonly kind: 'api_key' | 'cookie' | 'token';
  /** Whether the browser sends its cookies along. */
  readonly cookies: 'omit' | 'include';
  /** What an Authorization header has. Undefined: a cookie speaks for the call. */
  readonly authorization: string | undefined;
  /** Puts the credential on the header of a call, at every attempt, unless the call brought its own. */
  authorize(header: Headers): void;
}

/** Printable ASCII without spaces: what both JWTs and API keys are made of. */
const TOKEN = /^[\x21-\x7e]+$/;

/** The cookie of a browser that a magic link signed in. */
export const cookieCredential: Credential = {
  kind: 'cookie',
  cookies: 'include',
  authorization: undefined,
  authorize: () => {},
};

/** The API key of a workspace. For backends. */
export function apiKeyCredential(apiKey: string): Credential {
  const { authorization } = bearer(checkToken('apiKey', apiKey));
  return {
    kind: 'api_key',
    cookies: 'omit',
    authorization,
    authorize: (header) => header.set('authorization', authorization),
  };
}

/** A session token, which a newer one can replace. */
export class TokenCredential implements Credential {
  readonly kind = 'token';
  readonly cookies = 'omit';
  #token: string;

  constructor(token: string) {
    this.#token = checkToken('token', token);
  }

  /** The token that calls are made with from now on. */
  get token(): string {
    return this.#token;
  }

  get authorization(): string {
    return bearer(this.#token).authorization;
  }

  replace(token: string): void {
    this.#token = token;
  }

  authorize(header: Headers): void {
    if (header.has('authorization')) return;
    header.set('authorization', this.authorization);
  }
}

/** The header of a call that is made with this token, whatever the credential is. */
export function bearer(token: string): { readonly authorization: string } {
  return { authorization: `Bearer ${token}` };
}

/** Throws unless it can be a token. The message does not repeat it. `field` is how the caller spells it. */
export function checkToken(field: string, token: unknown): string {
  if (typeof token === 'string' && TOKEN.test(token)) return token;
  throw invalidArgument(field, 'must be a string of printable characters without spaces');
}
