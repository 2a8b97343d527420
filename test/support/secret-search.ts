import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Bytes of each window of a secret that is looked for: enough that none is found by chance. */
const WINDOW_BYTES = 16;
/** Slots of the first look, which nearly every place of a text fails. */
const SLOTS = 2 ** 22;

/**
 * Looks for parts of many secrets at once. Of each it knows several windows, at its beginning, in
 * its middle and at its end, so that a secret that is cut, or goes over the border of two pages of a
 * file, is found too; as text, also in lower case as in a host name, in hexadecimal digits, and as the
 * bytes that its text encodes.
 */
export class SecretSearch {
  readonly #names = new Map<string, string>();
  readonly #slots = new Uint8Array(SLOTS);

  /** How many windows are looked for. */
  get size(): number {
    return this.#names.size;
  }

  /** Adds a secret. `name` says what it is, without it. Of a JWT only the signature is one. */
  add(name: string, secret: string): void {
    const text = secret.split('.').at(-1) ?? secret;
    const bytes = Buffer.from(text, 'base64url');
    this.#addForm(`${name} as text`, Buffer.from(text));
    this.#addForm(`${name} as text in lower case`, Buffer.from(text.toLowerCase()));
    this.#addForm(`${name} as text in hex`, Buffer.from(Buffer.from(text).toString('hex')));
    if (bytes.length < 2 * WINDOW_BYTES) return;
    this.#addForm(`${name} as bytes`, bytes);
    this.#addForm(`${name} as bytes in hex`, Buffer.from(bytes.toString('hex')));
    this.#addForm(`${name} as bytes in base64`, Buffer.from(bytes.toString('base64')));
  }

  /** What of the secrets is in a text or in bytes, each once. */
  findIn(content: string | Buffer): string[] {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const found = new Set<string>();
    for (let at = 0; at + WINDOW_BYTES <= bytes.length; at++) {
      if (this.#slots[slotOf(bytes, at)] === 0) continue;
      const name = this.#names.get(bytes.toString('latin1', at, at + WINDOW_BYTES));
      if (name !== undefined) found.add(name);
    }
    return [...found];
  }

  #addForm(name: string, bytes: Buffer): void {
    const last = bytes.length - WINDOW_BYTES;
    for (const at of [0, last >> 1, last]) {
      this.#names.set(bytes.toString('latin1', at, at + WINDOW_BYTES), name);
      this.#slots[slotOf(bytes, at)] = 1;
    }
  }
}

/** Every file below a directory, with what is in it. */
export function* filesBelow(directory: string): Iterable<{ path: string; bytes: Buffer }> {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    yield { path, bytes: readFileSync(path) };
  }
}

function slotOf(bytes: Buffer, at: number): number {
  return Math.imul(bytes.readInt32LE(at), 0x9e3779b1) >>> 10;
}
