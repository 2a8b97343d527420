import { create, type DescMethod, toBinary } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ContextValues,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
} from '@connectrpc/connect';
import { invokeUnaryImplementation } from '@connectrpc/connect/protocol';
import {
  encodeFrame,
  type FrameBody,
  MAX_ANSWER_BYTES,
  MAX_MESSAGE_BYTES,
  messagePrefix,
} from '../../frames/frame.ts';
import { toFrameHeaders } from '../../frames/headers.ts';
import { Inflow } from '../../frames/inflow.ts';
import { type Outflow, OutflowStream } from '../../frames/outflow.ts';
import { toWireError } from '../../frames/wire-error.ts';
import type { Open } from '../../gen/computesdk/v1/frame_pb.ts';
import { MAX_TIMER_MS } from '../core/clock.ts';
import { DomainError } from '../core/domain-error.ts';
import { toConnectError } from './connect-error.ts';
import { answersOf, parseRequest, requestsOf, type StreamSpec } from './invoke.ts';

/** The name of the protocol, where others are `connect` or `grpc`. */
export const FRAMES = 'frames';

/** Where frames go. */
export interface FrameSink {
  /** Sends one frame, given in parts. `onTaken` is called once, when they are no longer needed. */
  write(parts: readonly Uint8Array[], onTaken?: () => void): void;
  /** Sends one frame that nobody waits for, right after the next one or shortly. Default: as {@link FrameSink.write}. */
  writeSoon?(parts: readonly Uint8Array[]): void;
  /** Sends now what waits to be sent soon. */
  flush?(): void;
}

/** How a call ended. */
export type CallEnd = {
  /** How many it was answered with. */
  readonly messages: number;
  /** What it failed with. */
  readonly error: unknown;
  /** Whether nobody waited for the end any more. */
  readonly isCanceled: boolean;
};

/** What the calls of a connection are served with. */
export type ServedCallOptions = {
  readonly interceptors: Interceptor[];
  /** Told of each call, when it begins and when it ends. */
  readonly onCall?: (method: DescMethod, header: Headers) => (end: CallEnd) => void;
  /** Lets a call pass before it is served, or throws. */
  readonly gate?: (context: HandlerContext) => void | Promise<void>;
  readonly shutdownSignal?: AbortSignal;
  readonly isPatient?: (method: DescMethod) => boolean;
  readonly sink: FrameSink;
  readonly outflow: Outflow;
};

/** Why a call's signal fires at its end. Made once: an error costs its stack, and each key has a call. */
const OVER = new DomainError('LOST', 'the call is over');

/** One call that came in frames, from its opening to its end. */
export class ServedCall {
  readonly #options: ServedCallOptions;
  readonly #stream: number;
  /** Fires when the call should end, and at its end. */
  readonly #abort = new AbortController();
  /** Takes back what may fire it. */
  #disarm = () => {};
  /** Whether nobody waits for the end any more. */
  #isGone = false;
  readonly #requests: Inflow;
  readonly #outflow: OutflowStream;
  #context: HandlerContext | undefined;
  /** Whether the headers were sent. */
  #hasBegun = false;
  /** Whether nobody waits for what it answers. */
  #isPatient = false;
  /** How many were sent. */
  #messages = 0;

  constructor(stream: number, options: ServedCallOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#requests = new Inflow((credit) => this.#send({ case: 'credit', value: credit }));
    this.#outflow = new OutflowStream(options.outflow);
  }

  /** Whether the headers of a stream were sent, so that {@link sendMessage} may be used. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Takes a message of the client. Returns false if the client was not allowed to send it. */
  push(message: Uint8Array): boolean {
    return this.#requests.push(message);
  }

  finish(): void {
    this.#requests.end();
  }

  grant(credit: number): void {
    this.#outflow.grant(credit);
  }

  /** Nobody waits for the call's end any more. */
  cancel(reason: DomainError): void {
    this.#isGone = true;
    this.#stop(reason);
  }

  /** Ends the call with an error, whatever it was doing. */
  fail(reason: DomainError): void {
    this.#end({ error: toWireError(toConnectError(reason)) });
    this.cancel(reason);
  }

  /** Serves the call. Never rejects. */
  async serve(spec: MethodImplSpec, open: Open, call: ServedRequest): Promise<void> {
    this.#isPatient = this.#options.isPatient?.(spec.method) ?? false;
    const onEnd = this.#options.onCall?.(spec.method, call.header);
    let failure: unknown;
    try {
      const context = this.#contextOf(spec, open, call);
      this.#context = context;
      await this.#options.gate?.(context);
      if (spec.kind === 'unary') await this.#serveUnary(spec, open, context);
      else await this.#serveStream(spec, open, context);
    } catch (error) {
      failure = error;
      const shown = toConnectError(error);
      this.#end({ error: toWireError(shown), trailers: toFrameHeaders(shown.metadata) });
    } finally {
      const isCanceled = this.#abort.signal.aborted;
      onEnd?.({ messages: this.#messages, error: failure, isCanceled });
      this.#disarm();
      this.#abort.abort(OVER);
      this.#requests.end();
      this.#outflow.close(undefined);
    }
  }

  /**
   * Sends one message of a stream, past the library, which would copy it. Undefined: the parts are no
   * longer needed. Else it resolves when they are not, and rejects when the call has ended.
   */
  sendMessage(parts: readonly Uint8Array[]): Promise<void> | undefined {
    let length = 0;
    for (const part of parts) length += part.length;
    if (length > MAX_MESSAGE_BYTES) throw tooLarge('a message', MAX_MESSAGE_BYTES);
    if (this.#outflow.trySpend(length)) return this.#write(parts, length);
    return this.#outflow.spend(length).then(() => this.#write(parts, length));
  }

  async #serveUnary(
    spec: Extract<MethodImplSpec, { kind: 'unary' }>,
    open: Open,
    context: HandlerContext,
  ): Promise<void> {
    const request = parseRequest(spec.method.input, open.message ?? new Uint8Array());
    const { interceptors } = this.#options;
    const answer = await invokeUnaryImplementation(spec, context, request, interceptors);
    this.#abort.signal.throwIfAborted();
    this.#messages = 1;
    const message = toBinary(spec.method.output, answer);
    if (message.length > MAX_ANSWER_BYTES) throw tooLarge('the answer', MAX_ANSWER_BYTES);
    const headers = toFrameHeaders(context.responseHeader);
    const trailers = toFrameHeaders(context.responseTrailer);
    const isSilent = message.length + headers.length + trailers.length === 0;
    this.#end({ message, headers, trailers }, { isUrgent: !isSilent || !this.#isPatient });
  }

  async #serveStream(spec: StreamSpec, open: Open, context: HandlerContext): Promise<void> {
    const { input, output } = spec.method;
    if (open.finished) this.#requests.end();
    const requests = requestsOf(input, open.message, this.#requests);
    const { interceptors } = this.#options;
    for await (const message of await answersOf(spec, requests, context, interceptors)) {
      const sent = this.sendMessage([toBinary(output, create(output, message))]);
      if (sent) await sent;
    }
    // An implementation that was told to end may end well, and too early.
    this.#abort.signal.throwIfAborted();
    this.#begin();
    this.#end({ trailers: toFrameHeaders(context.responseTrailer) });
  }

  #write(parts: readonly Uint8Array[], length: number): Promise<void> | undefined {
    this.#begin();
    this.#messages += 1;
    const frame = [messagePrefix(this.#stream, length), ...parts];
    const { sink } = this.#options;
    if (this.#isPatient && sink.writeSoon) {
      sink.writeSoon(frame);
      return undefined;
    }
    let isTaken = false;
    let onTaken = () => {
      isTaken = true;
    };
    sink.write(frame, () => onTaken());
    if (isTaken) return undefined;
    return new Promise((resolve) => {
      onTaken = resolve;
    });
  }

  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const headers = this.#context ? toFrameHeaders(this.#context.responseHeader) : [];
    this.#send({ case: 'head', value: { headers } });
  }

  #end(
    value: Extract<FrameBody, { case: 'end' }>['value'],
    { isUrgent } = { isUrgent: true },
  ): void {
    if (this.#isGone) return;
    const { sink } = this.#options;
    if (isUrgent || !sink.writeSoon) this.#send({ case: 'end', value });
    else sink.writeSoon([encodeFrame(this.#stream, { case: 'end', value })]);
  }

  #send(body: FrameBody): void {
    const { sink } = this.#options;
    // Its own frames keep their order.
    if (this.#isPatient) sink.flush?.();
    sink.write([encodeFrame(this.#stream, body)]);
  }

  /** Connect's own context has three controllers and three copies of headers: for each key. */
  #contextOf({ method }: MethodImplSpec, open: Open, call: ServedRequest): HandlerContext {
    const deadline = this.#arm(open.timeoutMs);
    return {
      ...{ service: method.parent, method, requestHeader: call.header, values: call.values },
      ...{ protocolName: FRAMES, requestMethod: 'POST', url: `http://sandbox${open.method}` },
      signal: this.#abort.signal,
      timeoutMs: () => deadline && deadline - performance.now(),
      responseHeader: new Headers(),
      responseTrailer: new Headers(),
    };
  }

  /** Whatever the call is doing or waiting for comes to its end. */
  #stop(reason: unknown): void {
    this.#abort.abort(reason);
    this.#requests.end(reason);
    this.#outflow.close(reason);
  }

  /** Lets the call end in time, and with the process. Returns until when it may take. */
  #arm(timeoutMs: number): number | undefined {
    const { shutdownSignal } = this.#options;
    const onShutdown = () => this.#stop(shutdownSignal?.reason);
    if (shutdownSignal?.aborted) onShutdown();
    shutdownSignal?.addEventListener('abort', onShutdown);
    const onLate = () =>
      this.#stop(new ConnectError('the operation timed out', Code.DeadlineExceeded));
    const timer = timeoutMs > 0 && setTimeout(onLate, Math.min(timeoutMs, MAX_TIMER_MS));
    this.#disarm = () => {
      shutdownSignal?.removeEventListener('abort', onShutdown);
      if (timer) clearTimeout(timer);
    };
    return timeoutMs > 0 ? performance.now() + timeoutMs : undefined;
  }
}

/** What a call brings beside its opening frame. */
export type ServedRequest = { readonly header: Headers; readonly values: ContextValues };

function tooLarge(what: string, limit: number): DomainError {
  return new DomainError('TOO_LARGE', `${what} is larger than ${limit} bytes`);
}
