import type { ConnectError } from '@connectrpc/connect';
import { fromWireError } from '../../frames/wire-error.ts';
import type { Frame } from '../../gen/computesdk/v1/frame_pb.ts';
import { RawWebSocket, type RawWebSocketParts } from './raw-web-socket.ts';

/** The streams of one WebSocket that end together, frame by frame. */
export class LiveFrames {
  /** Whole messages so far, of all streams. */
  complete = 0;
  /** Bytes of messages that came for a stream after its end, or after the connection's. */
  bytesAfterEnd = 0;
  /** Why the streams ended: the first reason that came. */
  error: ConnectError | undefined;
  readonly #calls: number;
  readonly #begun = new Set<number>();
  readonly #over = new Set<number>();
  readonly #webSocket: RawWebSocket;

  constructor(parts: Omit<RawWebSocketParts, 'onFrame'>, calls: number) {
    this.#calls = calls;
    this.#webSocket = new RawWebSocket({ ...parts, onFrame: (frame) => this.#onFrame(frame) });
  }

  /** Whether every stream has brought a message. */
  get haveBegun(): boolean {
    return this.#begun.size === this.#calls;
  }

  /** Whether every stream has ended, or the connection. */
  get isOver(): boolean {
    return this.#webSocket.hasEnded || this.#over.size === this.#calls;
  }

  get largest(): number {
    return this.#webSocket.reader.largest;
  }

  get isInside(): boolean {
    return this.#webSocket.reader.isInside;
  }

  get progress(): { readonly taken: number; readonly size: number } {
    return this.#webSocket.reader.progress;
  }

  open(method: string, message: Uint8Array): void {
    this.#webSocket.open(method, message);
  }

  take(bytes: Buffer): void {
    this.#webSocket.take(bytes);
  }

  #onFrame({ stream, body }: Frame): void {
    if (this.#webSocket.hasEnded || this.#over.has(stream))
      this.bytesAfterEnd += body.case === 'message' ? body.value.length : 1;
    if (body.case === 'message') {
      this.complete += 1;
      this.#begun.add(stream);
    }
    if (body.case === 'end') this.#over.add(stream);
    if (body.case === 'end' || body.case === 'ended') {
      const { error } = body.value;
      this.error ??= error && fromWireError(error);
    }
  }
}
