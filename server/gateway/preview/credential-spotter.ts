/** Three parts of base64url with dots between, as JWTs have. */
const JWT = /[\w-]{8,}\.[\w-]{8,}\.[\w-]{16,}/g;
/** What may stand between the credentials in a header. */
const SEPARATORS = /[\s,;="']+/;
/** The longest text that can be a credential of ours. */
const MAX_WORD_CHARS = 2048;
/** `typ` of our session tokens. */
const SESSION_TOKEN_TYPE = 'computesdk-session+jwt';

/** Tells whether a header's value carries a session token or the API key, in whatever header and spelling. */
export class CredentialSpotter {
  readonly #isApiKey: (text: string) => boolean;

  constructor(isApiKey: (text: string) => boolean) {
    this.#isApiKey = isApiKey;
  }

  /** Whether the value of a header (its name in lower case) must not enter a sandbox. */
  isIn(name: string, value: string): boolean {
    if ((value.match(JWT) ?? []).some(isSessionToken)) return true;
    const mayHoldKey = name.includes('auth') || name.includes('key') || name.includes('token');
    if (!mayHoldKey && !value.includes('csk_')) return false;
    const words = value.split(SEPARATORS);
    return (
      [...words, ...words.flatMap(decoded)].some(
        (word) => word.length >= 8 && word.length <= MAX_WORD_CHARS && this.#isApiKey(word),
      ) || words.flatMap(decoded).some((word) => (word.match(JWT) ?? []).some(isSessionToken))
    );
  }
}

/** The parts of a word in base64, as `Basic` credentials are. */
function decoded(word: string): string[] {
  if (word.length < 8 || !/^[\w+/-]+=*$/.test(word)) return [];
  const text = Buffer.from(word, 'base64').toString('latin1');
  return /^[\x20-\x7e]+$/.test(text) ? [text, ...text.split(':')] : [];
}

function isSessionToken(jwt: string): boolean {
  const [header = ''] = jwt.split('.', 1);
  return Buffer.from(header, 'base64url').toString('latin1').includes(SESSION_TOKEN_TYPE);
}
