import { createHash, createHmac, randomBytes } from 'node:crypto';

/** Bytes of a salt, which keeps one who knows a secret from guessing the API key by it. */
const SALT_BYTES = 16;
/** 256 bits in base64url. */
const SECRET_FORM = /^[\w-]{43}$/;

/**
 * The secrets of magic links and of the cookies that they become. They are derived from the API key,
 * which is kept nowhere in the database: so a repeated request can be given the same secret again,
 * also after a restart, and whoever reads the database finds none.
 */
export class LinkSecrets {
  readonly #apiKey: string;

  constructor(apiKey: string) {
    this.#apiKey = apiKey;
  }

  /** The secret in the address of a link. */
  ofLink(link: { readonly id: string; readonly salt: string }): string {
    return this.#derive('link', link.salt, link.id);
  }

  /** The cookie that a link becomes in the browser with this nonce. */
  ofSession(link: { readonly id: string; readonly salt: string }, nonce: string): string {
    return this.#derive('session', link.salt, link.id, nonce);
  }

  #derive(...parts: readonly string[]): string {
    return createHmac('sha256', this.#apiKey).update(JSON.stringify(parts)).digest('base64url');
  }
}

/** A salt or nonce of 128 random bits. */
export function newSalt(): string {
  return randomBytes(SALT_BYTES).toString('base64url');
}

/** Whether `text` has the form of a secret. */
export function isSecret(text: string): boolean {
  return SECRET_FORM.test(text);
}

/** The hash under which a secret is kept. Secrets have full entropy, so a slow hash would protect nothing. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}
