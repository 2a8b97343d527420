import type { Writable } from 'node:stream';
import { withLength } from './frame-splitter.ts';
import { gatherWrites } from './gathered-writes.ts';

/** Frames up to this size are copied, in bytes, so that a key's echo and its answer leave in one piece. */
const MAX_COPIED_BYTES = 1024;
/** Copied frames leave when they are this much together, in bytes, or at the end of the turn. */
const MAX_GATHERED_BYTES = 16 * 1024;

/** Writes frames, each with its length before it, for a {@link FrameSplitter} to take apart. */
export class FrameWriter {
  readonly #connection: Writable;
  readonly #gather: () => void;
  /** Copied frames that have not left. */
  #copied: Buffer[] = [];
  #copiedBytes = 0;
  readonly #flush = () => {
    const [first, ...others] = this.#copied;
    if (!first) return;
    this.#copied = [];
    this.#copiedBytes = 0;
    this.#connection.write(others.length === 0 ? first : Buffer.concat([first, ...others]));
  };

  constructor(connection: Writable) {
    this.#connection = connection;
    this.#gather = gatherWrites(connection);
  }

  /**
   * Writes a frame, given in parts, of which all but the last are a few bytes. `onTaken` is called once,
   * when they are no longer needed. Returns whether the connection takes more now.
   */
  write(parts: readonly Uint8Array[], onTaken?: () => void): boolean {
    let length = 0;
    for (const part of parts) length += part.length;
    // Who writes to a connection that is full has to wait for it.
    if (length > MAX_COPIED_BYTES || this.#connection.writableNeedDrain) {
      return this.#writeParts(parts, length, onTaken);
    }
    if (this.#copiedBytes === 0) process.nextTick(this.#flush);
    const frame = withLength(parts, length);
    this.#copied.push(frame);
    this.#copiedBytes += frame.length;
    if (this.#copiedBytes >= MAX_GATHERED_BYTES) this.#flush();
    onTaken?.();
    return !this.#connection.writableNeedDrain;
  }

  #writeParts(parts: readonly Uint8Array[], length: number, onTaken?: () => void): boolean {
    const last = parts.length - 1;
    this.#flush();
    this.#gather();
    this.#connection.write(withLength(parts.slice(0, last), length));
    return this.#connection.write(parts[last], onTaken && (() => onTaken()));
  }
}
