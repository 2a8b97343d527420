import { WebSocket } from 'ws';
import {
  CONNECTION_STREAM,
  decodeFrame,
  encodeFrame,
  FRAME_PROTOCOL,
  type FrameBody,
} from '../../frames/frame.ts';
import type { Frame } from '../../gen/computesdk/v1/frame_pb.ts';

export type RawSocketOptions = {
  /** Said at once when it is open. Undefined: nothing is said. */
  readonly authorization?: string;
  readonly acceptsBatches?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** With its question mark. */
  readonly query?: string;
};

/** A WebSocket to a sandbox without any sense: it sends what it is told, and keeps what comes. */
export class RawSocket {
  readonly frames: Frame[] = [];
  readonly webSocket: WebSocket;
  /** The close code, and the HTTP status where the WebSocket was refused. */
  readonly closed: Promise<{ readonly code: number; readonly status: number | undefined }>;
  #status: number | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(sandboxUrl: string, options: RawSocketOptions = {}) {
    const url = `${sandboxUrl.replace(/^http/, 'ws')}/socket${options.query ?? ''}`;
    const headers = options.headers ?? {};
    this.webSocket = new WebSocket(url, FRAME_PROTOCOL, { headers, perMessageDeflate: false });
    this.webSocket.on('error', ({ message }) => {
      const [, status] = /server response: (\d+)/.exec(message) ?? [];
      this.#status = status === undefined ? undefined : Number(status);
    });
    this.webSocket.on('message', (data) => {
      if (Buffer.isBuffer(data)) this.frames.push(decodeFrame(data));
      for (const wake of this.#waiting) wake();
    });
    this.closed = new Promise((resolve) => {
      this.webSocket.on('close', (code) => {
        resolve({ code, status: this.#status });
        for (const wake of this.#waiting) wake();
      });
    });
    const { authorization, acceptsBatches = false } = options;
    if (authorization === undefined) return;
    this.webSocket.on('open', () => {
      this.send(CONNECTION_STREAM, { case: 'hello', value: { authorization, acceptsBatches } });
    });
  }

  send(stream: number, body: FrameBody): void {
    this.webSocket.send(encodeFrame(stream, body));
  }

  /** Opens a call of a method of one message, given in binary. */
  open(stream: number, method: string, message: Uint8Array = new Uint8Array()): void {
    this.send(stream, { case: 'open', value: { method, message, finished: true } });
  }

  /** The first frame, of those that came and come, that is what is looked for. */
  async frame<K extends Frame['body']['case']>(
    kind: K,
    stream = CONNECTION_STREAM,
  ): Promise<Extract<Frame['body'], { case: K }>> {
    for (;;) {
      const found = this.frames.find(
        (frame) => frame.stream === stream && frame.body.case === kind,
      );
      // Its kind was compared.
      if (found) return found.body as Extract<Frame['body'], { case: K }>;
      if (this.webSocket.readyState === WebSocket.CLOSED) throw new Error(`closed without ${kind}`);
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }

  /** Resolves when the connection is gone. */
  async close(): Promise<void> {
    this.webSocket.terminate();
    await this.closed;
  }
}
