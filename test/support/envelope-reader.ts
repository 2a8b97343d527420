const HEADER_BYTES = 5;

/** Follows the envelopes of a stream, cut anywhere, and keeps the one that ends it. */
export class EnvelopeReader {
  /** Whole envelopes so far. */
  complete = 0;
  /** The largest message so far, in bytes. */
  largest = 0;
  /** The message of the envelope with flags, which ends a Connect or gRPC-web stream. */
  last: Buffer | undefined;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerFilled = 0;
  /** What of the message under way is still to come. */
  #left = 0;
  readonly #kept: Buffer[] = [];

  /** Whether the last byte was inside of an envelope. */
  get isInside(): boolean {
    return this.#headerFilled > 0;
  }

  /** How many bytes of the message under way have come, and how many it has. */
  get progress(): { readonly taken: number; readonly size: number } {
    if (this.#headerFilled < HEADER_BYTES) return { taken: 0, size: 0 };
    const size = this.#header.readUInt32BE(1);
    return { taken: size - this.#left, size };
  }

  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.last) throw new Error('the stream goes on after its end');
      at += this.#headerFilled < HEADER_BYTES ? this.#takeHeader(bytes, at) : this.#take(bytes, at);
      if (this.#headerFilled === HEADER_BYTES && this.#left === 0) this.#complete();
    }
  }

  #takeHeader(bytes: Buffer, at: number): number {
    const taken = bytes.copy(this.#header, this.#headerFilled, at);
    this.#headerFilled += taken;
    if (this.#headerFilled === HEADER_BYTES) this.#left = this.#header.readUInt32BE(1);
    return taken;
  }

  #take(bytes: Buffer, at: number): number {
    const piece = bytes.subarray(at, at + this.#left);
    if (this.#header[0] !== 0) this.#kept.push(Buffer.from(piece));
    this.#left -= piece.length;
    return piece.length;
  }

  #complete(): void {
    this.complete += 1;
    this.largest = Math.max(this.largest, this.#header.readUInt32BE(1));
    if (this.#header[0] !== 0) this.last = Buffer.concat(this.#kept);
    this.#headerFilled = 0;
  }
}
