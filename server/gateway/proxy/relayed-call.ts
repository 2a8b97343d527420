import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { refuse, streamEnd } from '../../rpc/call-end.ts';
import type { CallForm } from '../../rpc/call-form.ts';
import { toConnectError } from '../../rpc/connect-error.ts';
import { type HttpRequest, type HttpResponse, MAX_MESSAGE_BYTES } from '../../rpc/connect-node.ts';
import { reset } from '../../rpc/reset.ts';
import type { CallOutcome } from './call-line.ts';
import { END_READ_MS, endsAccess } from './end-of-access.ts';
import { requireReading, requireSending } from './end-of-answer.ts';
import { EnvelopeGate } from './envelope-gate.ts';
import { loopShare } from './loop-share.ts';
import { checkHead, checkTrailers } from './sandbox-response.ts';
import { StallWatch } from './stall-watch.ts';

/** The largest answer of a call that is no stream, in bytes. */
const MAX_UNARY_RESPONSE_BYTES = 1024 * 1024;

/** What a wait for the sandbox is aborted with. Nobody is left to read it. */
const CLIENT_LEFT = new DomainError('LOST', 'the client left');

export type RelayedCallOptions = {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly form: CallForm;
  readonly isStream: boolean;
  readonly clock: Clock;
  /** Called once, when nothing more will happen. */
  readonly onClose: (outcome: CallOutcome) => void;
};

/**
 * One call between a client and a sandbox: passes the answer on with back-pressure, checks all of it,
 * and can end it after any whole message.
 */
export class RelayedCall {
  readonly #options: RelayedCallOptions;
  readonly #response: ServerResponse;
  readonly #gate: EnvelopeGate;
  readonly #stall: StallWatch;
  readonly #abort = new AbortController();
  #upstream: ClientRequest | undefined;
  /** Set once: from then on nothing of the sandbox reaches the client. */
  #outcome: CallOutcome | undefined;

  constructor(options: RelayedCallOptions) {
    this.#options = options;
    // The answer of HTTP/2 has the same methods; a union of their overloads cannot be called.
    this.#response = options.response as ServerResponse;
    this.#gate = new EnvelopeGate({
      protocol: options.form.protocol,
      maxMessageBytes: options.isStream ? MAX_MESSAGE_BYTES : MAX_UNARY_RESPONSE_BYTES,
    });
    this.#stall = new StallWatch(options.clock, this.#response, () => {
      if (this.#close('client stalled')) reset(this.#response);
    });
    this.#response.once('close', () => {
      this.#stall.stop();
      this.#close('client left');
    });
    if (isGone(options.response)) this.#close('client left');
  }

  /** Aborts when the call ends before its answer. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Passes on what the sandbox answers to `upstream`. Not for a call whose signal has aborted. */
  relay(upstream: ClientRequest): void {
    this.#upstream = upstream;
    upstream.on('error', (error) => this.fail(agentFailure(error)));
    upstream.on('information', () => this.fail(notAllowed('an interim response')));
    upstream.on('upgrade', (_response, socket) => {
      socket.destroy();
      this.fail(notAllowed('a change of protocol'));
    });
    upstream.on('response', (answer) => this.#onAnswer(answer));
  }

  /**
   * Ends the call with an error, in its protocol: at once if the answer has not begun, after the
   * last whole message if it has. Does nothing when the call is over. Resolves, where the end takes
   * access away, when the client has read all of it or was cut.
   */
  end(cause: DomainError): Promise<void> | undefined {
    if (!this.#close(cause)) return undefined;
    const { request, form } = this.#options;
    if (!this.#response.headersSent) {
      refuse(request, this.#response, toConnectError(cause));
      this.#stall.start();
      return undefined;
    }
    this.#stall.stop();
    const { envelope, trailers } = streamEnd(form, toConnectError(cause));
    if (trailers) this.#response.addTrailers(trailers);
    if (envelope) this.#response.end(envelope);
    else this.#response.end();
    const { response, clock } = this.#options;
    if (endsAccess(cause)) return requireReading(response, clock, END_READ_MS);
    requireSending(response, clock, END_READ_MS);
    return undefined;
  }

  /** Ends the call as {@link end} does. Nobody waits for the client. */
  fail(cause: DomainError): void {
    void this.end(cause);
  }

  /** Lets go of the sandbox. Returns whether the call was open until now. */
  #close(outcome: CallOutcome): boolean {
    if (this.#outcome !== undefined) return false;
    this.#outcome = outcome;
    if (outcome !== 'ok') {
      this.#upstream?.destroy();
      this.#abort.abort(outcome instanceof DomainError ? outcome : CLIENT_LEFT);
    }
    this.#options.onClose(outcome);
    return true;
  }

  #onAnswer(answer: IncomingMessage): void {
    // Its cause comes with the request's own event.
    answer.on('error', () => {});
    answer.on('close', () => {
      if (!answer.complete) this.fail(unavailable());
    });
    this.#checked(() => {
      const head = checkHead(answer, this.#options.form);
      if (this.#options.form.protocol === 'connect-unary') this.#relayBody(answer, head);
      else this.#relayStream(answer, head);
    });
  }

  /** Reads the whole answer before any of it is passed on, so that an error still can be. */
  #relayBody(answer: IncomingMessage, head: { status: number; contentType: string }): void {
    const chunks: Buffer[] = [];
    let size = 0;
    answer.on('data', (chunk: Buffer) => {
      size += chunk.length;
      chunks.push(chunk);
      if (size > MAX_UNARY_RESPONSE_BYTES) this.fail(notAllowed('an answer above 1 MiB'));
    });
    answer.on('end', () => {
      if (!answer.complete || !this.#close('ok')) return;
      this.#response.writeHead(head.status, {
        'Content-Type': head.contentType,
        'Content-Length': size,
      });
      this.#finish(Buffer.concat(chunks, size));
    });
  }

  #relayStream(
    answer: IncomingMessage,
    head: { contentType: string; grpcStatus?: Readonly<Record<string, string>> },
  ): void {
    const response = this.#response;
    response.writeHead(200, {
      'Content-Type': head.contentType,
      // Proxies in between must neither keep nor gather what is sent.
      'Cache-Control': 'no-store, no-transform',
      'X-Accel-Buffering': 'no',
      ...head.grpcStatus,
    });
    // The first message mostly comes with the head and shares its packet.
    setImmediate(() => {
      if (this.#outcome === undefined) response.flushHeaders();
    });
    const resume = () => {
      if (this.#outcome === undefined && !response.writableNeedDrain) answer.resume();
    };
    answer.on('close', () => loopShare.leave(resume));
    answer.on('data', (chunk: Buffer) => {
      this.#checked(() => this.#pass(answer, chunk));
      if (!loopShare.take(chunk.length, resume)) answer.pause();
    });
    answer.on('end', () => {
      if (answer.complete) this.#checked(() => this.#endStream(answer, head.grpcStatus));
    });
    response.on('drain', () => {
      this.#stall.stop();
      answer.resume();
    });
  }

  #pass(answer: IncomingMessage, chunk: Buffer): void {
    if (this.#outcome !== undefined) return;
    let isFlowing = true;
    for (const bytes of this.#gate.push(chunk)) isFlowing = this.#response.write(bytes);
    if (isFlowing) return;
    answer.pause();
    this.#stall.start();
  }

  /** The sandbox's stream came to its own end. */
  #endStream(answer: IncomingMessage, grpcStatus: object | undefined): void {
    if (this.#outcome !== undefined) return;
    const { protocol } = this.#options.form;
    if (!this.#gate.isAtBoundary) throw notAllowed('a stream that ends inside of a message');
    if (protocol === 'grpc') {
      if (!grpcStatus) this.#response.addTrailers(checkTrailers(answer));
    } else if (!this.#gate.hasEnded) {
      throw notAllowed('a stream without an end');
    }
    if (this.#close('ok')) this.#finish();
  }

  #finish(bytes?: Buffer): void {
    this.#response.once('finish', () => this.#stall.stop());
    if (bytes) this.#response.end(bytes);
    else this.#response.end();
    if (!this.#response.writableFinished) this.#stall.start();
  }

  /** Runs a step that may find the answer to be bad. */
  #checked(step: () => void): void {
    try {
      step();
    } catch (error) {
      // What is no DomainError comes from Node.js, about a value that no header can have.
      this.fail(error instanceof DomainError ? error : notAllowed('an invalid header'));
    }
  }
}

function isGone(response: HttpResponse): boolean {
  return 'stream' in response ? response.stream.destroyed : response.destroyed;
}

function notAllowed(what: string): DomainError {
  return new DomainError('BAD_SANDBOX_RESPONSE', `the sandbox answered with ${what}`);
}

function unavailable(cause?: unknown): DomainError {
  return new DomainError('AGENT_UNAVAILABLE', 'the connection to the sandbox broke', { cause });
}

function agentFailure(error: Error): DomainError {
  const code = 'code' in error ? String(error.code) : '';
  // What the HTTP parser refuses, endless headers among it.
  return code.startsWith('HPE_') ? notAllowed('invalid HTTP') : unavailable(error);
}
