/** A value that was put between two bytes of a {@link ByteLog}. */
export type LogMark<M> = {
  /** Only grows. Names the mark among all marks of the log, replaced ones included. */
  readonly sequence: number;
  /** Offset of the byte before which the mark stands. */
  readonly cursor: number;
  readonly value: M;
};

/** How far a reader has read. {@link ByteLog.read} advances it. */
export type LogPosition = {
  /** Offset of the next byte. */
  cursor: number;
  /** Sequence of the first mark that was not read. */
  mark: number;
};

/** What {@link ByteLog.read} found: bytes up to the next mark, or a mark. */
export type LogItem<M> =
  | { readonly type: 'bytes'; readonly cursor: number; readonly data: Uint8Array }
  | { readonly type: 'mark'; readonly cursor: number; readonly value: M };

/**
 * Bytes are copied into blocks of this size, so that a million lone bytes cost a million bytes. Blocks
 * are used again: as garbage they would be old, and stay until a full collection.
 */
const BLOCK_BYTES = 128 * 1024;
/** Most marks held. Beyond it the oldest is forgotten, as marks state a condition that a later one overrides. */
export const MAX_LOG_MARKS = 1024;

type Block = { readonly start: number; readonly bytes: Uint8Array; used: number };

/**
 * A bounded log of bytes whose offsets only grow, with marks between the bytes. What was read is the
 * reader's own and stays as it is.
 */
export class ByteLog<M> {
  /** Bytes that are kept. More are held only while eviction is refused, see {@link ByteLog.append}. */
  readonly capacity: number;
  /** Offset of the first byte still held. Only grows. */
  #start = 0;
  /** Offset after the last byte. Only grows. */
  #end = 0;
  /** In order and without holes; together they hold `#start` to `#end`. */
  #blocks: Block[] = [];
  /** In order of cursor and of sequence. The first may lie before `#start`: it is in force there. */
  #marks: LogMark<M>[] = [];
  /** An evicted block, for the next one. */
  #spare: Uint8Array | undefined;
  #nextMark = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** Offset of the first byte still held. */
  get start(): number {
    return this.#start;
  }

  /** Offset after the last byte. */
  get end(): number {
    return this.#end;
  }

  /**
   * Adds bytes, then evicts what exceeds the capacity, but nothing from `keepFrom` on. The bytes
   * are always taken: who must not exceed the capacity stops appending.
   */
  append(data: Uint8Array, keepFrom = Number.POSITIVE_INFINITY): void {
    let offset = 0;
    while (offset < data.length) {
      const block = this.#writableBlock();
      const count = Math.min(data.length - offset, block.bytes.length - block.used);
      block.bytes.set(
        offset === 0 && count === data.length ? data : data.subarray(offset, offset + count),
        block.used,
      );
      block.used += count;
      offset += count;
    }
    this.#end += data.length;
    this.evict(keepFrom);
  }

  /** Puts a mark at the end. It takes the place of a mark that stands at the very same offset. */
  mark(value: M): void {
    if (this.#marks.at(-1)?.cursor === this.#end) this.#marks.pop();
    this.#marks.push({ sequence: this.#nextMark, cursor: this.#end, value });
    this.#nextMark += 1;
    if (this.#marks.length > MAX_LOG_MARKS) this.#marks.shift();
  }

  /** Drops what exceeds the capacity, but nothing from `keepFrom` on. */
  evict(keepFrom: number): void {
    this.#moveStart(Math.min(this.#end - this.capacity, keepFrom));
  }

  /** Keeps only the last `bytes` bytes, and gives the memory of the rest back. */
  trim(bytes: number): void {
    this.#moveStart(this.#end - bytes);
    const kept = new Uint8Array(this.#end - this.#start);
    this.#copy(this.#start, kept);
    this.#blocks = kept.length > 0 ? [{ start: this.#start, bytes: kept, used: kept.length }] : [];
    this.#spare = undefined;
  }

  /** Where a reader that wants the byte at `cursor` begins: with the mark in force there. */
  positionAt(cursor: number): LogPosition {
    const index = this.#marks.findLastIndex((mark) => mark.cursor <= cursor);
    return { cursor, mark: this.#marks.at(Math.max(index, 0))?.sequence ?? this.#nextMark };
  }

  /**
   * What comes next, at most `maxBytes` of it, or undefined at the end. Advances the position. The
   * position must not lie before {@link ByteLog.start}. Bytes are copied into what `allocate` gives.
   */
  read(
    position: LogPosition,
    maxBytes: number,
    allocate: (bytes: number) => Uint8Array = Buffer.allocUnsafe,
  ): LogItem<M> | undefined {
    const mark = this.#firstMark(position.mark);
    if (mark && mark.cursor <= position.cursor) {
      position.mark = mark.sequence + 1;
      return { type: 'mark', cursor: position.cursor, value: mark.value };
    }
    const cursor = position.cursor;
    const limit = Math.min(cursor + maxBytes, mark?.cursor ?? this.#end, this.#end);
    if (limit <= cursor) return undefined;
    position.cursor = limit;
    const data = allocate(limit - cursor);
    this.#copy(cursor, data);
    return { type: 'bytes', cursor, data };
  }

  #copy(from: number, data: Uint8Array): void {
    const to = from + data.length;
    for (const block of this.#blocks) {
      if (block.start + block.used <= from) continue;
      if (block.start >= to) break;
      const first = Math.max(from, block.start);
      data.set(
        block.bytes.subarray(first - block.start, Math.min(to - block.start, block.used)),
        first - from,
      );
    }
  }

  #writableBlock(): Block {
    const last = this.#blocks.at(-1);
    if (last && last.used < last.bytes.length) return last;
    const start = last ? last.start + last.used : this.#end;
    // Not zeroed: every byte is written before it can be read.
    const block = { start, bytes: this.#spare ?? Buffer.allocUnsafeSlow(BLOCK_BYTES), used: 0 };
    this.#spare = undefined;
    this.#blocks.push(block);
    return block;
  }

  #moveStart(start: number): void {
    if (start <= this.#start) return;
    this.#start = start;
    const first = this.#blocks.findIndex((block) => block.start + block.used > start);
    const evicted = this.#blocks.splice(0, first === -1 ? this.#blocks.length : first);
    this.#spare = evicted.find((block) => block.bytes.length === BLOCK_BYTES)?.bytes ?? this.#spare;
    const inForce = this.#marks.findLastIndex((mark) => mark.cursor <= start);
    if (inForce > 0) this.#marks.splice(0, inForce);
  }

  #firstMark(sequence: number): LogMark<M> | undefined {
    const last = this.#marks.at(-1);
    if (!last || last.sequence < sequence) return undefined;
    return this.#marks.find((mark) => mark.sequence >= sequence);
  }
}
