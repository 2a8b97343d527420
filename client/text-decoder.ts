/** Turns bytes that were cut anywhere into text: a character waits until all its bytes are there. */
export class StreamingTextDecoder {
  #decoder = newDecoder();

  /** The text that is complete with these bytes. */
  push(bytes: Uint8Array): string {
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** What is left of a character that will not be completed. Then begins anew. */
  flush(): string {
    const rest = this.#decoder.decode();
    this.#decoder = newDecoder();
    return rest;
  }
}

/** Keeps what looks like a byte order mark: it is the program's output. */
function newDecoder(): TextDecoder {
  return new TextDecoder('utf-8', { ignoreBOM: true });
}
