import { Code, ConnectError } from '@connectrpc/connect';
import {
  CONNECTION_STREAM,
  decodeFrame,
  encodeFrame,
  FRAME_PROTOCOL,
  type FrameBody,
} from '../../../frames/frame.ts';
import { CONNECTION_WINDOW_BYTES, Outflow } from '../../../frames/outflow.ts';
import { fromWireError } from '../../../frames/wire-error.ts';
import type { Frame } from '../../../gen/computesdk/v1/frame_pb.ts';
import type { Clock, Timer } from '../clock.ts';
import { type Watch, Watchdog } from '../watchdog.ts';
import { SocketCall } from './socket-call.ts';

/** How long a WebSocket may take until the gateway has accepted its credential, in milliseconds. */
const OPEN_LIMIT_MS = 3_000;
/** A WebSocket without calls is closed after this long, in milliseconds: it keeps Node.js processes alive. */
const IDLE_MS = 5_000;
/** Credit for the connection is granted in pieces of at least this size, in bytes. */
const GRANT_BYTES = CONNECTION_WINDOW_BYTES / 4;

/** How a WebSocket came to its end. */
export type SocketEnd = {
  /** Whether the gateway had accepted the credential. */
  readonly wasOpen: boolean;
  /** For how long it was open, in milliseconds. */
  readonly openMs: number;
  /** Whether somebody wanted it to end: the gateway, with a reason, or this side. */
  readonly isOrderly: boolean;
  readonly error: ConnectError;
};

export type FrameSocketParts = {
  /** The address of the sandbox's WebSocket. */
  readonly url: string;
  /** What calls are made with, as an Authorization header has it. Undefined: the browser's cookie. */
  readonly authorization: string | undefined;
  readonly clock: Clock;
  readonly newWebSocket: (url: string, protocol: string) => WebSocket;
  readonly onOpen: () => void;
  readonly onEnd: (end: SocketEnd) => void;
};

/** One WebSocket to a sandbox and the calls on it. */
export class FrameSocket {
  readonly #parts: FrameSocketParts;
  /** Undefined: none could be made. */
  readonly #webSocket: WebSocket | undefined;
  readonly #calls = new Map<number, SocketCall>();
  /** What each of the calls is made with. */
  readonly #credentials = new Map<SocketCall, string | undefined>();
  /** The credential that was last answered as a good one. */
  #accepted: string | undefined;
  readonly #outflow = new Outflow();
  readonly #watch: Watch;
  readonly #openTimer: Timer;
  /** What is sent when the WebSocket is open. Undefined from then on. */
  #waiting: Uint8Array<ArrayBuffer>[] | undefined = [];
  #authorization: string | undefined;
  /** The stream of the last call; only grows. */
  #lastStream = 0;
  /** What arrived of messages and was not granted again, in bytes. */
  #arrived = 0;
  /** When the gateway accepted the credential. */
  #openedAt: number | undefined;
  #idleTimer: Timer | undefined;
  #isRetired = false;
  #isEnded = false;

  constructor(parts: FrameSocketParts) {
    this.#parts = parts;
    this.#authorization = parts.authorization;
    this.#accepted = parts.authorization;
    const hello = { authorization: parts.authorization ?? '', acceptsBatches: true };
    this.#waiting?.push(encodeFrame(CONNECTION_STREAM, { case: 'hello', value: hello }));
    this.#watch = new Watchdog(parts.clock, () => this.#ping()).watch({
      onQuiet: () => this.#ping(),
      onDead: () => this.#end(unavailable('the WebSocket was silent for 12 s')),
    });
    this.#openTimer = parts.clock.setTimer(
      () => this.#end(unavailable(`the WebSocket did not open within ${OPEN_LIMIT_MS} ms`)),
      OPEN_LIMIT_MS,
      { background: true },
    );
    this.#webSocket = this.#newWebSocket();
  }

  /** Whether it takes no more calls. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Opens a call with its opening frame, made with `authorization`. */
  open(
    authorization: string | undefined,
    value: Extract<FrameBody, { case: 'open' }>['value'],
  ): SocketCall {
    this.#lastStream += 1;
    const stream = this.#lastStream;
    const call = new SocketCall({
      outflow: this.#outflow,
      send: (body) => this.#send(stream, body),
      onEnd: () => this.#onCallEnd(stream),
    });
    if (this.#isEnded) {
      call.fail(unavailable('the WebSocket is closed'));
      return call;
    }
    this.#idleTimer?.clear();
    this.#idleTimer = undefined;
    this.#calls.set(stream, call);
    this.#credentials.set(call, authorization);
    if (authorization !== this.#authorization) {
      this.#authorization = authorization;
      const credential = { authorization: authorization ?? '' };
      this.#send(CONNECTION_STREAM, { case: 'credential', value: credential });
    }
    this.#send(stream, { case: 'open', value });
    return call;
  }

  /** Lets its calls come to their ends, and ends with the last of them. */
  retire(): void {
    this.#isRetired = true;
    if (this.#calls.size === 0) this.close();
  }

  /** Ends it and all its calls. Idempotent. */
  close(): void {
    this.#end(unavailable('the WebSocket was closed here'), true);
  }

  #newWebSocket(): WebSocket | undefined {
    try {
      const webSocket = this.#parts.newWebSocket(this.#parts.url, FRAME_PROTOCOL);
      webSocket.binaryType = 'arraybuffer';
      webSocket.onopen = () => this.#onOpen();
      webSocket.onmessage = ({ data }) => this.#onMessage(data);
      webSocket.onclose = ({ code }) =>
        this.#end(unavailable(`the WebSocket closed with code ${code}`));
      webSocket.onerror = () => this.#end(unavailable('the WebSocket failed'));
      return webSocket;
    } catch (error) {
      // A policy of the page, for example. Its owner has not got this object yet.
      queueMicrotask(() => this.#end(unavailable(`no WebSocket can be made: ${error}`)));
      return undefined;
    }
  }

  #onOpen(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const frame of waiting) this.#webSocket?.send(frame);
  }

  #onMessage(data: unknown): void {
    this.#watch.alive();
    try {
      if (!(data instanceof ArrayBuffer)) throw new Error('a message is not binary');
      const frame = decodeFrame(new Uint8Array(data));
      const { stream, body } = frame;
      if (stream !== CONNECTION_STREAM || body.case !== 'batch') this.#take(frame);
      else for (const bytes of body.value.frames) this.#take(decodeFrame(bytes));
    } catch (error) {
      this.#end(broken(error));
    }
  }

  /** Throws at a frame that breaks the protocol. */
  #take({ stream, body }: Frame): void {
    if (this.#isEnded) return;
    if (body.case === 'message') this.#onArrived(body.value.length);
    if (stream === CONNECTION_STREAM) {
      this.#onConnectionFrame(body);
      return;
    }
    if (stream > this.#lastStream) throw new Error('a frame is for a call that was never made');
    // Calls that are over here may still be answered.
    const call = this.#calls.get(stream);
    const isAnswer = body.case === 'head' || (body.case === 'end' && !body.value.error);
    if (call && isAnswer) this.#accepted = this.#credentials.get(call);
    const isFine = call?.take(body) ?? true;
    if (!isFine) throw new Error(`a call got what it must not: ${body.case}`);
  }

  #onConnectionFrame(body: Frame['body']): void {
    switch (body.case) {
      case 'welcome':
        this.#openTimer.clear();
        this.#openedAt = this.#parts.clock.now();
        this.#parts.onOpen();
        return;
      case 'ended': {
        const { error } = body.value;
        this.#end(error ? fromWireError(error) : unavailable('the gateway ended it'), true);
        return;
      }
      case 'ping':
        this.#send(CONNECTION_STREAM, { case: 'pong', value: { id: body.value.id } });
        return;
      case 'credit':
        this.#outflow.grant(body.value);
        return;
      case 'pong':
      case undefined:
        return;
      default:
        throw new Error(`the connection got what it must not: ${body.case}`);
    }
  }

  /** Counted as it arrives, not as it is taken: a call whose messages nobody takes must not stop the others. */
  #onArrived(bytes: number): void {
    this.#arrived += bytes;
    if (this.#arrived < GRANT_BYTES) return;
    this.#send(CONNECTION_STREAM, { case: 'credit', value: this.#arrived });
    this.#arrived = 0;
  }

  #onCallEnd(stream: number): void {
    const call = this.#calls.get(stream);
    if (call) this.#credentials.delete(call);
    this.#calls.delete(stream);
    if (this.#calls.size > 0 || this.#isEnded) return;
    if (this.#isRetired) this.close();
    else {
      this.#idleTimer = this.#parts.clock.setTimer(() => this.close(), IDLE_MS, {
        background: true,
      });
    }
  }

  #send(stream: number, body: FrameBody): void {
    const frame = encodeFrame(stream, body);
    if (this.#waiting) this.#waiting.push(frame);
    else if (!this.#isEnded) this.#webSocket?.send(frame);
  }

  #ping(): void {
    if (!this.#isEnded) this.#send(CONNECTION_STREAM, { case: 'ping', value: { id: 0 } });
  }

  #end(error: ConnectError, isOrderly = false): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#waiting = undefined;
    this.#openTimer.clear();
    this.#idleTimer?.clear();
    this.#watch.stop();
    this.#webSocket?.close();
    const { clock, onEnd } = this.#parts;
    const openMs = this.#openedAt === undefined ? 0 : clock.now() - this.#openedAt;
    onEnd({ wasOpen: this.#openedAt !== undefined, openMs, isOrderly, error });
    // A credential that ended says nothing of one that came after it.
    const later = error.code === Code.Unauthenticated ? unavailable(error.rawMessage) : error;
    for (const call of this.#calls.values()) {
      call.fail(this.#credentials.get(call) === this.#accepted ? error : later);
    }
    this.#calls.clear();
  }
}

/** No answer came; it was the network, or something on the way. */
function unavailable(problem: string): ConnectError {
  return new ConnectError(problem, Code.Unavailable);
}

/** What came is no frame that a gateway would send. */
function broken(cause: unknown): ConnectError {
  const problem = cause instanceof Error ? cause.message : String(cause);
  const error = new ConnectError(`outside of the protocol: ${problem}`, Code.DataLoss);
  error.isWireError = true;
  return error;
}
