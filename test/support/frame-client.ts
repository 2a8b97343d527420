import { connect, type Socket } from 'node:net';
import { Code, type ConnectError } from '@connectrpc/connect';
import { fromWireError } from '../../frames/wire-error.ts';
import { ErrorDetailSchema, ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import type { Frame, WireError } from '../../gen/computesdk/v1/frame_pb.ts';
import { CUT, codeName, type RawResult } from './raw-call.ts';
import { RawWebSocket } from './raw-web-socket.ts';

export type FrameClientOptions = {
  /** Address of the sandbox. */
  readonly url: string;
  /** What says who calls. */
  readonly headers: Readonly<Record<string, string>>;
};

export type FramedCallOptions = {
  /** A credential for this call alone, for example. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly onMessage?: ((message: Uint8Array) => void) | undefined;
};

/** What has come of one call. */
export type FramedAnswer = {
  /** Whole messages of a stream so far. */
  messages: number;
  /** The result, once the call is over: by its end, or with its connection. */
  result: RawResult | undefined;
  /** The typed reason of a failure. */
  reason: string | undefined;
  /** Resolves when the call is over. */
  readonly ended: Promise<void>;
};

/** Calls of any kind on a WebSocket of its own, without any help of a client library. */
export class FrameClient {
  readonly #socket: Socket;
  readonly #webSocket: RawWebSocket;
  readonly #answers = new Map<number, FramedAnswer & FramedCallOptions & { settle: () => void }>();
  /** How calls end that are open when the connection ends, or made later. */
  #end: Pick<FramedAnswer, 'result' | 'reason'> | undefined;

  constructor({ url, headers }: FrameClientOptions) {
    const { hostname, port } = new URL(url);
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true });
    const onFrame = (frame: Frame) => this.#onFrame(frame);
    this.#webSocket = new RawWebSocket({ socket: this.#socket, url, headers, onFrame });
    this.#socket.on('data', (bytes) => this.#webSocket.take(bytes));
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => this.#endAll({ result: CUT, reason: undefined }));
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0;
  }

  /** Whether the connection takes no more calls. */
  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /** Makes a call, with a credential of its own if the headers have one. */
  call(
    method: string,
    message: Uint8Array,
    { headers, onMessage }: FramedCallOptions = {},
  ): FramedAnswer {
    let settle: () => void = () => {};
    const ended = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const answer = { messages: 0, result: undefined, reason: undefined, ended, settle, onMessage };
    if (this.#end) {
      Object.assign(answer, this.#end);
      settle();
      return answer;
    }
    this.#answers.set(this.#webSocket.open(method, message, headers), answer);
    return answer;
  }

  /** Says what the calls from now on are made with. */
  renew(authorization: string): void {
    this.#webSocket.renew(authorization);
  }

  /** Takes nothing more from the socket. */
  stall(): void {
    this.#socket.pause();
  }

  /** Reads again. */
  go(): void {
    this.#socket.resume();
  }

  /** Breaks the connection with a reset, as a network that is gone does. */
  vanish(): void {
    this.#socket.resetAndDestroy();
  }

  close(): void {
    this.#socket.destroy();
  }

  #onFrame({ stream, body }: Frame): void {
    if (body.case === 'ended') this.#endAll(endOf(body.value.error));
    const answer = this.#answers.get(stream);
    if (body.case === 'message' && answer) {
      answer.messages += 1;
      answer.onMessage?.(body.value);
    }
    if (body.case !== 'end' || !answer) return;
    this.#answers.delete(stream);
    Object.assign(answer, endOf(body.value.error));
    answer.settle();
  }

  #endAll(end: Pick<FramedAnswer, 'result' | 'reason'>): void {
    this.#end ??= end;
    for (const answer of this.#answers.values()) {
      Object.assign(answer, this.#end);
      answer.settle();
    }
    this.#answers.clear();
  }
}

function endOf(wire: WireError | undefined): Pick<FramedAnswer, 'result' | 'reason'> {
  if (!wire) return { result: { status: 200, code: 'ok', text: '' }, reason: undefined };
  const error = fromWireError(wire);
  // As the Connect protocol has it over HTTP.
  const status = error.code === Code.Unauthenticated ? 401 : 500;
  const result = { status, code: codeName(error.code), text: error.rawMessage };
  return { result, reason: reasonOf(error) };
}

function reasonOf(error: ConnectError): string | undefined {
  const reason = error.findDetails(ErrorDetailSchema)[0]?.reason;
  return Object.entries(ErrorReason).find(([, value]) => value === reason)?.[0];
}
