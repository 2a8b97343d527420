/** What an id names, as its first three letters. */
export type IdPrefix =
  | 'sbx'
  | 'tok'
  | 'lnk'
  | 'trm'
  | 'wat'
  | 'cmd'
  | 'key'
  | 'rdr'
  | 'wrt'
  | 'bot';

/** 26 characters of 5 bits hold the 128 random bits that make an id unguessable. */
const RANDOM_CHARS = 26;
/** Lower case without i, l, o, u: safe in host names and hard to misread. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const RANDOM_PART = new RegExp(`^[${ALPHABET}]{${RANDOM_CHARS}}$`);

/** A new id: the prefix and 128 random bits, lower-case and DNS-safe. */
export function newId(prefix: IdPrefix): string {
  let id: string = prefix;
  // Not `node:crypto`, whose import takes an agent longer than anything else of Node.js at its start.
  for (const byte of crypto.getRandomValues(new Uint8Array(RANDOM_CHARS)))
    id += ALPHABET.charAt(byte & 31);
  return id;
}

/** Whether `text` has the form of an id with this prefix. */
export function isId(prefix: IdPrefix, text: string): boolean {
  return text.startsWith(prefix) && RANDOM_PART.test(text.slice(prefix.length));
}
