export type BufferPoolOptions = {
  /** Length of each buffer. */
  readonly bufferBytes: number;
  /** Most buffers that are kept for the next use. Beyond it, one that is given back becomes garbage. */
  readonly idle: number;
};

/**
 * Buffers that are used again. New ones would be garbage that outlives its use by far: V8 looks at the
 * little that they take of its heap, and megabytes of them stay until that is full.
 */
export class BufferPool {
  readonly #options: BufferPoolOptions;
  readonly #idle: Buffer[] = [];

  constructor(options: BufferPoolOptions) {
    this.#options = options;
  }

  /** A buffer with anything in it. It is the caller's until it gives it back, or for ever. */
  take(): Buffer {
    // Not zeroed: whoever takes it overwrites what it hands on.
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#options.bufferBytes);
  }

  /** Gives a buffer back that nobody reads any more. */
  give(buffer: Buffer): void {
    if (this.#idle.length < this.#options.idle) this.#idle.push(buffer);
  }
}
