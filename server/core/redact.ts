/** What stands in the place of a secret. */
export const REDACTED = '[redacted]';
/** Names of fields and headers whose values are secrets, in lower case without `_` and `-`. */
const SECRET_NAMES: ReadonlySet<string> = new Set([
  'accesstoken',
  'apikey',
  'authorization',
  'cookie',
  'password',
  'privatekey',
  'proxyauthorization',
  'secret',
  'sessiontoken',
  'setcookie',
  'token',
]);
/** What secrets look like wherever they stand: each with the part before it that may stay. */
const SECRETS: readonly RegExp[] = [
  /(\bbearer\s+)[^\s"',;]+/gi,
  // Three parts of base64url, as session tokens have.
  /()\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g,
  /()\bcsk_[\w-]{16,}/g,
  /(\/magic\/)[^\s"'/?#]+/g,
  /(__Host-[\w-]+=)[^\s"';,]+/g,
  /(\b(?:set-)?cookie["']?\s*[:=]\s*["']?)[^\r\n"']+/gi,
  /([?&][\w-]*(?:token|key|secret|ticket)=)[^\s"'&#]+/gi,
];
/** A run of characters as long as the shortest of our secrets, a nonce of 128 bits in base64url. */
const OPAQUE = /[\w-]{22,}/g;
/** All of them hold one of these; most texts do not, and cost one look. */
const HINT = /bearer|eyJ|csk_|magic|__host-|cookie|[?&]/i;

/** Whether a field or header of this name holds a secret. */
export function isSecretName(name: string): boolean {
  return name.length < 32 && SECRET_NAMES.has(name.toLowerCase().replace(/[_-]/g, ''));
}

/** A text without what looks like a credential in it. */
export function redact(text: string): string {
  if (!HINT.test(text)) return text;
  let clean = text;
  for (const secret of SECRETS) clean = clean.replace(secret, `$1${REDACTED}`);
  return clean;
}

/** As {@link redact}, for an address that a client made up: every long word in it may be a secret. */
export function redactAddress(address: string): string {
  return redact(address).replace(OPAQUE, REDACTED);
}
