/** Kinds of WebSocket frames, RFC 6455 section 5.2. */
export const OPCODE = { binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** One whole frame. */
export type WebSocketFrame = {
  readonly opcode: number;
  /** What it says, without its mask. */
  readonly payload: Buffer;
  /** All of it, as it came. */
  readonly bytes: Buffer;
};

type FrameHead = {
  readonly headBytes: number;
  readonly payloadBytes: number;
  readonly isMasked: boolean;
};

const FIN = 0x80;
const MASKED = 0x80;
const MASK_BYTES = 4;

/** Follows the frames of one direction of a WebSocket, cut anywhere. */
export class WebSocketReader {
  /** The largest payload so far, in bytes. */
  largest = 0;
  #held: Buffer = Buffer.alloc(0);

  /** Whether the last byte was inside of a frame. */
  get isInside(): boolean {
    return this.#held.length > 0;
  }

  /** How many bytes of the payload under way have come, and how many it has. */
  get progress(): { readonly taken: number; readonly size: number } {
    const head = headOf(this.#held);
    if (!head) return { taken: 0, size: 0 };
    return { taken: this.#held.length - head.headBytes, size: head.payloadBytes };
  }

  /** Takes bytes and returns the frames that are complete. Throws at a frame that is a fragment. */
  push(bytes: Buffer): readonly WebSocketFrame[] {
    const frames: WebSocketFrame[] = [];
    let rest = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    for (let head = headOf(rest); head; head = headOf(rest)) {
      const size = head.headBytes + head.payloadBytes;
      if (rest.length < size) break;
      frames.push(readFrame(rest.subarray(0, size), head));
      this.largest = Math.max(this.largest, head.payloadBytes);
      rest = rest.subarray(size);
    }
    this.#held = rest;
    return frames;
  }
}

/** A frame as a server sends it or, with a mask, a client. The mask changes nothing: servers only require it. */
export function webSocketFrame(
  opcode: number,
  payload: Uint8Array,
  from: 'client' | 'server',
): Buffer {
  const { length } = payload;
  const mask = from === 'client' ? MASKED : 0;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = FIN | opcode;
  if (head.length === 2) head[1] = mask | length;
  else if (head.length === 4) {
    head[1] = mask | 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = mask | 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, Buffer.alloc(mask === 0 ? 0 : MASK_BYTES), payload]);
}

function headOf(bytes: Buffer): FrameHead | undefined {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return undefined;
  const isMasked = (second & MASKED) !== 0;
  const short = second & 127;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  const headBytes = 2 + lengthBytes + (isMasked ? MASK_BYTES : 0);
  if (bytes.length < headBytes) return undefined;
  const payloadBytes =
    lengthBytes === 0
      ? short
      : Number(bytes.readUIntBE(lengthBytes === 2 ? 2 : 4, lengthBytes === 2 ? 2 : 6));
  return { headBytes, payloadBytes, isMasked };
}

function readFrame(bytes: Buffer, { headBytes, isMasked }: FrameHead): WebSocketFrame {
  const first = bytes[0] ?? 0;
  if ((first & FIN) === 0) throw new Error('a frame is a fragment, which nobody here sends');
  let payload = bytes.subarray(headBytes);
  if (isMasked) {
    const mask = bytes.subarray(headBytes - MASK_BYTES, headBytes);
    payload = Buffer.from(payload);
    for (let at = 0; at < payload.length; at++)
      payload[at] = (payload[at] ?? 0) ^ (mask[at % 4] ?? 0);
  }
  return { opcode: first & 15, payload, bytes };
}
