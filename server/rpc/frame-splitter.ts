/** The length of a frame, big endian, before each frame between a gateway and an agent. */
const HEADER_BYTES = 4;

/** A frame, or the beginning of one of `frameBytes`, with the length before it. */
export function withLength(parts: readonly Uint8Array[], frameBytes: number): Buffer {
  let bytes = HEADER_BYTES;
  for (const part of parts) bytes += part.length;
  const result = Buffer.allocUnsafe(bytes);
  let position = result.writeUInt32BE(frameBytes);
  for (const part of parts) {
    result.set(part, position);
    position += part.length;
  }
  return result;
}

/** Takes a stream of bytes apart into the frames that it holds. */
export class FrameSplitter {
  readonly #maxFrameBytes: number;
  /** The incomplete frame with its length, or the incomplete length of one. */
  #held: Buffer = Buffer.alloc(0);
  /** How many bytes of {@link #held} have arrived. */
  #filled = 0;

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Takes bytes and returns the frames that are complete. Throws RangeError at one that is too large. */
  push(chunk: Buffer): readonly Buffer[] {
    const frames: Buffer[] = [];
    let position = this.#complete(chunk, frames);
    while (chunk.length - position >= HEADER_BYTES) {
      const size = this.#sizeAt(chunk, position);
      if (chunk.length - position < size) break;
      frames.push(chunk.subarray(position + HEADER_BYTES, position + size));
      position += size;
    }
    if (position < chunk.length) this.#hold(chunk.subarray(position));
    return frames;
  }

  /** Completes the held frame. Returns how many bytes of the chunk it took. */
  #complete(chunk: Buffer, frames: Buffer[]): number {
    let position = 0;
    while (this.#filled > 0 && position < chunk.length) {
      const copied = chunk.copy(this.#held, this.#filled, position);
      this.#filled += copied;
      position += copied;
      if (this.#filled < this.#held.length) break;
      const size = this.#sizeAt(this.#held, 0);
      if (size > this.#held.length) {
        // Only the length was held until now.
        this.#hold(Buffer.from(this.#held));
        continue;
      }
      frames.push(this.#held.subarray(HEADER_BYTES));
      this.#filled = 0;
    }
    return position;
  }

  #hold(rest: Buffer): void {
    this.#held = Buffer.allocUnsafe(
      rest.length < HEADER_BYTES ? HEADER_BYTES : this.#sizeAt(rest, 0),
    );
    this.#filled = rest.copy(this.#held);
  }

  /** The size of the frame at `position`, its length included. */
  #sizeAt(bytes: Buffer, position: number): number {
    const length = bytes.readUInt32BE(position);
    if (length > this.#maxFrameBytes) {
      throw new RangeError(`a frame is larger than ${this.#maxFrameBytes} bytes`);
    }
    return HEADER_BYTES + length;
  }
}
