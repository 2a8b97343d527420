import { ConnectError } from '@connectrpc/connect';
import type { FrameBody } from '../../../frames/frame.ts';
import { fromFrameHeaders } from '../../../frames/headers.ts';
import { Inflow } from '../../../frames/inflow.ts';
import { type Outflow, OutflowStream } from '../../../frames/outflow.ts';
import { fromWireError } from '../../../frames/wire-error.ts';
import type { End, Frame } from '../../../gen/computesdk/v1/frame_pb.ts';
import { newGate } from '../gate.ts';

/** How a call on a WebSocket sends. */
export type SocketCallParts = {
  readonly outflow: Outflow;
  readonly send: (body: FrameBody) => void;
  /** The call is over: nothing of it will come any more, or matter. */
  readonly onEnd: () => void;
};

/** What ended a call well. */
export type CallAnswer = {
  /** The answer of a call with one message. */
  readonly message: Uint8Array | undefined;
  readonly header: Headers;
  readonly trailer: Headers;
};

/** Why nothing more can be sent. Made once: an error costs its stack, and each key has a call. */
const OVER = new ConnectError('the call is over');

/** One call on a WebSocket, from its opening to its end. */
export class SocketCall {
  /** The messages that came, for a call that has several. */
  readonly messages: Inflow;
  readonly #parts: SocketCallParts;
  readonly #outflow: OutflowStream;
  #isOver = false;
  readonly #header = newGate<Headers>();
  readonly #answer = newGate<CallAnswer>();
  #hasHeader = false;

  constructor(parts: SocketCallParts) {
    this.#parts = parts;
    this.messages = new Inflow((credit) => {
      if (!this.#isOver) parts.send({ case: 'credit', value: credit });
    });
    this.#outflow = new OutflowStream(parts.outflow);
    this.answer.then(({ header }) => this.#header.open(header), this.#header.fail);
  }

  /** Resolves with the headers, as soon as they are there. */
  get header(): Promise<Headers> {
    return this.#header.passed;
  }

  /** Resolves at the end; rejects if the call fails. */
  get answer(): Promise<CallAnswer> {
    return this.#answer.passed;
  }

  /** Takes a frame of the server. Returns false for one that breaks the protocol. */
  take(body: Frame['body']): boolean {
    switch (body.case) {
      case 'head':
        if (this.#hasHeader) return false;
        this.#hasHeader = true;
        this.#header.open(fromFrameHeaders(body.value.headers));
        return true;
      case 'message':
        return this.#hasHeader && this.messages.push(body.value);
      case 'credit':
        this.#outflow.grant(body.value);
        return true;
      case 'end':
        this.#end(body.value);
        return true;
      default:
        return body.case === undefined;
    }
  }

  /** Sends a message. Undefined: it was sent; else it is as soon as the server allows it, or the call is over. */
  send(message: Uint8Array): Promise<void> | undefined {
    const send = () => this.#parts.send({ case: 'message', value: message });
    if (!this.#outflow.trySpend(message.length)) {
      return this.#outflow.spend(message.length).then(send);
    }
    send();
    return undefined;
  }

  /** No more messages follow. */
  finish(): void {
    if (!this.#isOver) this.#parts.send({ case: 'finish', value: {} });
  }

  /** Ends the call here; the server is not told. Does nothing when it is over. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.messages.end(error);
    this.#outflow.close(error);
    this.#answer.fail(error);
    this.#parts.onEnd();
  }

  /** Ends the call and tells the server. */
  cancel(reason: unknown): void {
    if (this.#isOver) return;
    this.#parts.send({ case: 'cancel', value: {} });
    this.fail(reason);
  }

  #end({ error, message, headers, trailers }: End): void {
    // Before anything else: what no header can be makes them throw.
    const [header, trailer] = [fromFrameHeaders(headers), fromFrameHeaders(trailers)];
    if (error) {
      this.fail(fromWireError(error, trailer));
      return;
    }
    if (this.#isOver) return;
    this.#isOver = true;
    this.messages.end();
    this.#outflow.close(OVER);
    this.#answer.open({ message, header, trailer });
    this.#parts.onEnd();
  }
}
