/** The first line and the headers of an HTTP/1.1 message. */
export type HttpHead = {
  readonly startLine: string;
  readonly headers: ReadonlyMap<string, string>;
};

export interface HttpTrackerEvents {
  onHead(head: HttpHead): void;
  onBody(bytes: Buffer): void;
  onEnd(): void;
  /** Whether a response to this request has a body at all. */
  hasBody?(head: HttpHead): boolean;
}

type State = 'head' | 'fixed' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailers' | 'endless';

/** Longer heads and lines than any of our tests sends. */
const MAX_LINE_BYTES = 256 * 1024;

/** Follows the HTTP/1.1 messages of one direction of a connection, byte by byte, without changing them. */
export class HttpTracker {
  #state: State = 'head';
  #line = Buffer.alloc(0);
  #left = 0;
  readonly #events: HttpTrackerEvents;

  constructor(events: HttpTrackerEvents) {
    this.#events = events;
  }

  /** Takes the next bytes of the connection, cut anywhere. */
  push(bytes: Buffer): void {
    let rest = bytes;
    while (rest.length > 0) rest = this.#step(rest);
  }

  /** Takes bytes up to the end of a head, if one ends in them, and returns how many that were. */
  pushHead(bytes: Buffer): number {
    if (this.#state !== 'head') return 0;
    return bytes.length - this.#takeHead(bytes).length;
  }

  #step(bytes: Buffer): Buffer {
    switch (this.#state) {
      case 'head':
        return this.#takeHead(bytes);
      case 'fixed':
      case 'chunk-data':
        return this.#takeData(bytes);
      case 'endless':
        this.#events.onBody(bytes);
        return bytes.subarray(bytes.length);
      case 'chunk-size':
      case 'chunk-end':
      case 'trailers':
        return this.#takeLine(bytes);
    }
  }

  #takeHead(bytes: Buffer): Buffer {
    const [text, rest] = this.#gather(bytes, '\r\n\r\n');
    if (text === undefined) return rest;
    const [startLine = '', ...lines] = text.split('\r\n');
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    const head = { startLine, headers };
    // 100 Continue and its kin come before the real answer; 101 is one.
    if (/^HTTP\/1\.1 1(?!01)/.test(startLine)) return rest;
    this.#events.onHead(head);
    this.#enterBody(head);
    return rest;
  }

  #enterBody(head: HttpHead): void {
    const length = Number(head.headers.get('content-length') ?? Number.NaN);
    const isResponse = head.startLine.startsWith('HTTP/');
    const isBodyless = this.#events.hasBody?.(head) === false;
    if (isBodyless || length === 0) this.#end();
    else if (head.headers.get('transfer-encoding')?.includes('chunked')) this.#state = 'chunk-size';
    else if (length > 0) [this.#state, this.#left] = ['fixed', length];
    else if (isResponse) this.#state = 'endless';
    else this.#end();
  }

  #takeData(bytes: Buffer): Buffer {
    const data = bytes.subarray(0, this.#left);
    this.#left -= data.length;
    this.#events.onBody(data);
    if (this.#left === 0) {
      if (this.#state === 'fixed') this.#end();
      else this.#state = 'chunk-end';
    }
    return bytes.subarray(data.length);
  }

  #takeLine(bytes: Buffer): Buffer {
    const [line, rest] = this.#gather(bytes, '\r\n');
    if (line === undefined) return rest;
    if (this.#state === 'chunk-end') this.#state = 'chunk-size';
    else if (this.#state === 'trailers') {
      if (line === '') this.#end();
    } else {
      this.#left = Number.parseInt(line, 16);
      this.#state = this.#left === 0 ? 'trailers' : 'chunk-data';
    }
    return rest;
  }

  #end(): void {
    this.#state = 'head';
    this.#events.onEnd();
  }

  #gather(bytes: Buffer, end: string): [string | undefined, Buffer] {
    const held = this.#line.length;
    const all = held === 0 ? bytes : Buffer.concat([this.#line, bytes]);
    const at = all.indexOf(end);
    if (at === -1) {
      if (all.length > MAX_LINE_BYTES) throw new Error('an HTTP head or line without an end');
      this.#line = Buffer.from(all);
      return [undefined, all.subarray(all.length)];
    }
    this.#line = Buffer.alloc(0);
    return [all.toString('latin1', 0, at), all.subarray(at + end.length)];
  }
}

/** Follows the 5-byte prefixes of Connect and gRPC messages through a body. */
export class EnvelopeTracker {
  /** How many whole envelopes passed. */
  complete = 0;
  #prefix: number[] = [];
  #left = 0;

  /** Whether the last byte was neither the first nor the last of the stream's envelopes so far. */
  get isInside(): boolean {
    return this.#prefix.length > 0;
  }

  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#prefix.length < 5) {
        this.#prefix.push(bytes[at++] ?? 0);
        if (this.#prefix.length < 5) continue;
        this.#left = Buffer.from(this.#prefix).readUInt32BE(1);
      } else {
        const taken = Math.min(this.#left, bytes.length - at);
        this.#left -= taken;
        at += taken;
      }
      if (this.#left === 0) {
        this.complete++;
        this.#prefix = [];
      }
    }
  }
}
