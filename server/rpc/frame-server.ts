import type { DescMethod } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ContextValues,
  type HandlerContext,
  type Interceptor,
} from '@connectrpc/connect';
import { CONNECTION_STREAM, encodeFrame } from '../../frames/frame.ts';
import { CONNECTION_WINDOW_BYTES, Outflow } from '../../frames/outflow.ts';
import { toWireError } from '../../frames/wire-error.ts';
import type { Frame, Open } from '../../gen/computesdk/v1/frame_pb.ts';
import { DomainError } from '../core/domain-error.ts';
import { toConnectError } from './connect-error.ts';
import type { FrameRoutes } from './frame-routes.ts';
import { type FrameSink, ServedCall, type ServedCallOptions } from './served-call.ts';

/** The most calls at a time on one connection: as many as a sandbox may have at all. */
const MAX_CALLS = 768;
/** Credit for the connection is granted in pieces of at least this size, in bytes. */
const GRANT_BYTES = CONNECTION_WINDOW_BYTES / 4;

export type FrameServerOptions = {
  readonly routes: FrameRoutes;
  readonly interceptors?: Interceptor[];
  readonly onCall?: ServedCallOptions['onCall'];
  readonly gate?: (context: HandlerContext) => void | Promise<void>;
  readonly shutdownSignal?: AbortSignal;
  /** Methods whose callers do not wait for an answer that says nothing. Default: none. */
  readonly isPatient?: (method: DescMethod) => boolean;
  readonly sink: FrameSink;
};

/** What a call is served with, beside its opening frame. */
export type CallSurroundings = {
  readonly header: Headers;
  readonly values: (call: ServedCall) => ContextValues;
};

/** Serves the calls of one connection, with the services that also serve HTTP. */
export class FrameServer {
  readonly #options: FrameServerOptions;
  readonly #outflow = new Outflow();
  readonly #calls = new Map<number, ServedCall>();
  /** What arrived of messages and was not granted again, in bytes. */
  #arrived = 0;

  constructor(options: FrameServerOptions) {
    this.#options = options;
  }

  /** How many calls are served. */
  get size(): number {
    return this.#calls.size;
  }

  /** Serves a call. Its stream was not used before. `onEnd` is called when nothing more is sent for it. */
  open(
    stream: number,
    open: Open,
    { header, values }: CallSurroundings,
    onEnd: () => void = () => {},
  ): void {
    const {
      routes,
      sink,
      interceptors = [],
      onCall,
      gate,
      shutdownSignal,
      isPatient,
    } = this.#options;
    const spec = routes.get(open.method);
    if (!spec || this.#calls.size >= MAX_CALLS) {
      const error = toWireError(toConnectError(spec ? tooMany() : unknownMethod(open.method)));
      sink.write([encodeFrame(stream, { case: 'end', value: { error } })]);
      onEnd();
      return;
    }
    const call = new ServedCall(stream, {
      ...{ sink, interceptors, outflow: this.#outflow },
      ...(onCall && { onCall }),
      ...(gate && { gate }),
      ...(isPatient && { isPatient }),
      ...(shutdownSignal && { shutdownSignal }),
    });
    this.#calls.set(stream, call);
    void call.serve(spec, open, { header, values: values(call) }).then(() => {
      this.#calls.delete(stream);
      onEnd();
    });
  }

  /** Takes a frame of a call after its first. Returns false for one that breaks the protocol. */
  take({ stream, body }: Frame): boolean {
    const call = this.#calls.get(stream);
    switch (body.case) {
      case 'message':
        this.#onArrived(body.value.length);
        // Calls that are over may still be sent to.
        return call?.push(body.value) ?? true;
      case 'finish':
        call?.finish();
        return true;
      case 'cancel':
        call?.cancel(new DomainError('LOST', 'the client canceled the call'));
        return true;
      case 'credit':
        call?.grant(body.value);
        return true;
      default:
        return false;
    }
  }

  /** The client may be sent so many bytes more, over all calls. */
  grant(credit: number): void {
    this.#outflow.grant(credit);
  }

  /** The connection is gone. */
  close(): void {
    for (const call of this.#calls.values()) {
      call.cancel(new DomainError('LOST', 'the connection of the client is gone'));
    }
  }

  #onArrived(bytes: number): void {
    this.#arrived += bytes;
    if (this.#arrived < GRANT_BYTES) return;
    const credit = { case: 'credit', value: this.#arrived } as const;
    this.#options.sink.write([encodeFrame(CONNECTION_STREAM, credit)]);
    this.#arrived = 0;
  }
}

function unknownMethod(path: string): ConnectError {
  const shown = /^\/[\w.]+\/\w+$/.test(path) ? path.slice(0, 200) : 'of that name';
  return new ConnectError(`there is no method ${shown}`, Code.Unimplemented);
}

function tooMany(): DomainError {
  return new DomainError('LIMIT_REACHED', `the limit of ${MAX_CALLS} calls at a time is reached`);
}
