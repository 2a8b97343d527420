import { CONNECTION_STREAM, encodeFrame, type FrameBody } from '../../../frames/frame.ts';
import { gatherWrites } from '../../rpc/gathered-writes.ts';
import type { SocketOrigin } from './socket-services.ts';

/** Frames up to this size go in batches, in bytes. */
const MAX_BATCHED_BYTES = 1024;
/** A batch leaves when it is this large, in bytes, or at the end of the turn. */
const MAX_BATCH_BYTES = 16 * 1024;

export type FrameSenderOptions = Pick<SocketOrigin, 'webSocket' | 'socket'> & {
  /** Whether small frames of one turn may go in one message. */
  readonly acceptsBatches: boolean;
  /** Called when the client takes less than it was sent. */
  readonly onBehind: () => void;
};

/** Sends frames to one client, in the order in which it is given them. */
export class FrameSender {
  readonly #options: FrameSenderOptions;
  readonly #gather: () => void;
  /** Frames that have not left. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  readonly #onTurnEnd = () => this.flush();

  constructor(options: FrameSenderOptions) {
    this.#options = options;
    this.#gather = gatherWrites(options.socket);
  }

  send(frame: Uint8Array): void {
    if (!this.#options.acceptsBatches || frame.length > MAX_BATCHED_BYTES) {
      this.#gather();
      this.flush();
      this.#write(frame);
      return;
    }
    if (this.#heldBytes === 0) process.nextTick(this.#onTurnEnd);
    this.#held.push(frame);
    this.#heldBytes += frame.length;
    if (this.#heldBytes >= MAX_BATCH_BYTES) this.flush();
  }

  /** Sends a frame of the connection itself. */
  sendBody(body: FrameBody): void {
    this.send(encodeFrame(CONNECTION_STREAM, body));
  }

  /** Lets leave now what waits for the end of the turn. */
  flush(): void {
    const frames = this.#held;
    const [first] = frames;
    if (!first) return;
    this.#held = [];
    this.#heldBytes = 0;
    if (frames.length === 1) this.#write(first);
    else this.#write(encodeFrame(CONNECTION_STREAM, { case: 'batch', value: { frames } }));
  }

  #write(message: Uint8Array): void {
    const { webSocket, socket, onBehind } = this.#options;
    if (webSocket.readyState !== webSocket.OPEN) return;
    webSocket.send(message);
    if (socket.writableNeedDrain) onBehind();
  }
}
