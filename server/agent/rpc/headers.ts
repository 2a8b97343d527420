/** Names that HTTP allows (RFC 9110, section 5.1). */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** What may stand around a value without being a part of it (Fetch standard, "normalize"). */
const AROUND = '\t\n\r ';
const FORBIDDEN_IN_VALUE = /[\0\n\r]|[^\0-\xff]/;
/** The only header whose values cannot be joined by commas. */
const SET_COOKIE = 'set-cookie';

type Init = Iterable<Iterable<string>> | Readonly<Record<string, string>>;

/**
 * Headers as the Fetch standard has them, in the place of Node.js's own in the agent's bundle: with
 * those comes all of `fetch`, which takes a sixth of the time until an agent answers, and nobody there
 * fetches anything. Iterators do not see what is changed while they go on.
 */
export class Headers {
  readonly #values = new Map<string, string[]>();

  constructor(init?: Init) {
    if (init === undefined) return;
    if (init === null || typeof init !== 'object')
      throw new TypeError('headers are made from pairs, from a record, or from headers');
    const pairs = isIterable(init) ? init : Object.entries(init);
    for (const pair of pairs) {
      const [name, value, ...more] = pair;
      if (name === undefined || value === undefined || more.length > 0)
        throw new TypeError('a header is a pair of a name and a value');
      this.append(name, value);
    }
  }

  append(name: string, value: string): void {
    const key = toKey(name);
    const text = toValue(key, value);
    const values = this.#values.get(key);
    if (values) values.push(text);
    else this.#values.set(key, [text]);
  }

  set(name: string, value: string): void {
    const key = toKey(name);
    this.#values.set(key, [toValue(key, value)]);
  }

  delete(name: string): void {
    this.#values.delete(toKey(name));
  }

  get(name: string): string | null {
    return this.#values.get(toKey(name))?.join(', ') ?? null;
  }

  has(name: string): boolean {
    return this.#values.has(toKey(name));
  }

  getSetCookie(): string[] {
    return [...(this.#values.get(SET_COOKIE) ?? [])];
  }

  forEach(visit: (value: string, name: string, headers: this) => void, self?: unknown): void {
    for (const [name, value] of this.#pairs()) visit.call(self, value, name, this);
  }

  *keys(): Generator<string> {
    for (const [name] of this.#pairs()) yield name;
  }

  *values(): Generator<string> {
    for (const [, value] of this.#pairs()) yield value;
  }

  *entries(): Generator<[string, string]> {
    yield* this.#pairs();
  }

  [Symbol.iterator](): Generator<[string, string]> {
    return this.entries();
  }

  get [Symbol.toStringTag](): string {
    return 'Headers';
  }

  /** In the order of names, as the standard wants it. */
  #pairs(): [string, string][] {
    return [...this.#values.keys()].sort().flatMap((name): [string, string][] => {
      const values = this.#values.get(name) ?? [];
      if (name === SET_COOKIE) return values.map((value) => [name, value]);
      return [[name, values.join(', ')]];
    });
  }
}

function isIterable(init: Init): init is Iterable<Iterable<string>> {
  return typeof Reflect.get(init, Symbol.iterator) === 'function';
}

function toKey(name: string): string {
  const text = String(name);
  if (!NAME.test(text)) throw new TypeError(`not a name of a header: ${JSON.stringify(text)}`);
  return text.toLowerCase();
}

function toValue(key: string, value: string): string {
  const text = trim(String(value));
  if (FORBIDDEN_IN_VALUE.test(text)) throw new TypeError(`not a value of the header ${key}`);
  return text;
}

/** Goes over each end once: an expression would look at a long row of blanks once for each of them. */
function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && AROUND.includes(text.charAt(start))) start += 1;
  while (end > start && AROUND.includes(text.charAt(end - 1))) end -= 1;
  return text.slice(start, end);
}
