import type { Writable } from 'node:stream';
import { frameLength } from './frame-splitter.ts';
import { gatherWrites } from './gathered-writes.ts';

/** Writes frames, each with its length before it, for a {@link FrameSplitter} to take apart. */
export class FrameWriter {
  readonly #connection: Writable;
  readonly #gather: () => void;

  constructor(connection: Writable) {
    this.#connection = connection;
    this.#gather = gatherWrites(connection);
  }

  /**
   * Writes a frame, given in parts, of which all but the last are a few bytes. `onTaken` is called once,
   * when they are no longer needed. Returns whether the connection takes more now.
   */
  write(parts: readonly Uint8Array[], onTaken?: () => void): boolean {
    const last = parts.length - 1;
    this.#gather();
    this.#connection.write(Buffer.concat([frameLength(parts), ...parts.slice(0, last)]));
    return this.#connection.write(parts[last], onTaken && (() => onTaken()));
  }
}
