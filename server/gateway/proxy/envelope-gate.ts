import { DomainError } from '../../core/domain-error.ts';
import type { Protocol } from '../../rpc/call-form.ts';

/** A flags byte and a length of four bytes, big endian. */
const HEADER_BYTES = 5;
/** The flags of the envelope that ends a stream. gRPC has none: it ends with trailers. */
const LAST_FLAGS: Readonly<Record<Protocol, number | undefined>> = {
  'connect-unary': undefined,
  'connect-stream': 0b0000_0010,
  grpc: undefined,
  'grpc-web': 0b1000_0000,
};

export type EnvelopeGateOptions = {
  readonly protocol: Protocol;
  /** The largest message, in bytes. */
  readonly maxMessageBytes: number;
};

/**
 * Lets only whole envelopes pass, so that a stream can be ended after any chunk. Bytes of an
 * incomplete envelope, at most one message, are held until the rest arrives.
 */
export class EnvelopeGate {
  readonly #lastFlags: number | undefined;
  readonly #maxMessageBytes: number;
  /** The incomplete envelope, or the incomplete header of one. Empty at a boundary. */
  #held: Buffer = Buffer.alloc(0);
  /** How many bytes of {@link #held} have arrived. */
  #filled = 0;
  #hasEnded = false;

  constructor(options: EnvelopeGateOptions) {
    this.#lastFlags = LAST_FLAGS[options.protocol];
    this.#maxMessageBytes = options.maxMessageBytes;
  }

  /** Whether everything that came in has passed. */
  get isAtBoundary(): boolean {
    return this.#filled === 0;
  }

  /** Whether the envelope that ends the stream has passed. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Takes bytes and returns those that may pass, in order. Throws BAD_SANDBOX_RESPONSE. */
  push(chunk: Buffer): readonly Buffer[] {
    const passed: Buffer[] = [];
    const start = this.#complete(chunk, passed);
    let position = start;
    while (chunk.length - position >= HEADER_BYTES) {
      const size = this.#sizeOf(chunk, position);
      if (chunk.length - position < size) break;
      this.#pass(chunk[position]);
      position += size;
    }
    if (position > start) passed.push(chunk.subarray(start, position));
    if (position < chunk.length) this.#hold(chunk.subarray(position));
    return passed;
  }

  /** Completes the held envelope. Returns how many bytes of the chunk it took. */
  #complete(chunk: Buffer, passed: Buffer[]): number {
    let position = 0;
    while (this.#filled > 0 && position < chunk.length) {
      const copied = chunk.copy(this.#held, this.#filled, position);
      this.#filled += copied;
      position += copied;
      if (this.#filled < this.#held.length) break;
      const size = this.#sizeOf(this.#held, 0);
      if (size > this.#held.length) {
        // Only the header was held until now.
        this.#grow(size);
        continue;
      }
      this.#pass(this.#held[0]);
      passed.push(this.#held);
      this.#filled = 0;
    }
    return position;
  }

  #hold(rest: Buffer): void {
    this.#held = Buffer.allocUnsafe(
      rest.length < HEADER_BYTES ? HEADER_BYTES : this.#sizeOf(rest, 0),
    );
    this.#filled = rest.copy(this.#held);
  }

  #grow(size: number): void {
    const grown = Buffer.allocUnsafe(size);
    this.#held.copy(grown);
    this.#held = grown;
  }

  /** The size of the envelope that begins at `position`, its header included. */
  #sizeOf(bytes: Buffer, position: number): number {
    if (this.#hasEnded) throw broken('it goes on after its end');
    const flags = bytes[position];
    if (flags !== 0 && flags !== this.#lastFlags) throw broken('an envelope has unknown flags');
    const length = bytes.readUInt32BE(position + 1);
    if (length > this.#maxMessageBytes) {
      throw broken(`a message is larger than ${this.#maxMessageBytes} bytes`);
    }
    return HEADER_BYTES + length;
  }

  #pass(flags: number | undefined): void {
    if (flags !== 0) this.#hasEnded = true;
  }
}

function broken(problem: string): DomainError {
  return new DomainError('BAD_SANDBOX_RESPONSE', `the stream is broken: ${problem}`);
}
