/** The cookie of a signed-in browser. The prefix has browsers refuse it for other hosts, paths, and over cleartext. */
const SESSION_COOKIE = '__Host-computesdk';
/** The cookie that knows a browser again between a link's page and its button. */
const NONCE_COOKIE = '__Host-computesdk-link';
/** How long a browser keeps the nonce, in seconds. */
const NONCE_SECONDS = 15 * 60;
/** The longest Cookie header that is looked into, in characters. */
const MAX_COOKIE_CHARS = 16 * 1024;

/** What a request's cookies say about one name. */
export type CookieValue =
  | { readonly kind: 'absent' }
  | { readonly kind: 'found'; readonly value: string }
  /** It is there more than once, and only one can be ours. */
  | { readonly kind: 'ambiguous' };

/** The cookie of the browser session. */
export function readSessionCookie(header: string | undefined): CookieValue {
  return readCookie(header, SESSION_COOKIE);
}

/** The nonce of a browser that has opened a link's page. */
export function readNonceCookie(header: string | undefined): CookieValue {
  return readCookie(header, NONCE_COOKIE);
}

/** The Set-Cookie header that signs a browser in until `expiresAt`. */
export function sessionCookie(value: string, expiresAt: number, now: number): string {
  const seconds = Math.max(0, Math.floor((expiresAt - now) / 1000));
  return `${SESSION_COOKIE}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; Secure; SameSite=Lax`;
}

/** The Set-Cookie header that signs a browser out. */
export function endedSessionCookie(): string {
  return `${SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax`;
}

/** The Set-Cookie header that knows a browser again. */
export function nonceCookie(value: string): string {
  return `${NONCE_COOKIE}=${value}; Path=/; Max-Age=${NONCE_SECONDS}; HttpOnly; Secure; SameSite=Strict`;
}

function readCookie(header: string | undefined, name: string): CookieValue {
  if (header === undefined || header.length > MAX_COOKIE_CHARS) return { kind: 'absent' };
  let found: string | undefined;
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    if (found !== undefined) return { kind: 'ambiguous' };
    found = pair.slice(equals + 1).trim();
  }
  return found === undefined ? { kind: 'absent' } : { kind: 'found', value: found };
}
