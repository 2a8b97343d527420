import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import type { Clock, Timer } from '../../core/clock.ts';
import type { DomainError } from '../../core/domain-error.ts';
import type { HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';
import { reset } from '../../rpc/reset.ts';
import { allowSlowBody } from '../http/client-errors.ts';
import { sendPage } from '../http/html-page.ts';
import { MAX_STALL_MS, StallWatch } from '../proxy/stall-watch.ts';
import { passedTrailers, type RewriteOptions, requestHeaders, responseHeaders } from './headers.ts';
import { failurePage } from './preview-pages.ts';
import type { TunnelRequest, Tunnels } from './tunnels.ts';

export type PreviewRequestOptions = RewriteOptions & {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly tunnels: Tunnels;
  readonly viewerId: string;
  /** Path and query. */
  readonly target: string;
  /** Address of the client. */
  readonly client: string;
  readonly clock: Clock;
  /** Called once, when nothing more will happen. */
  readonly onClose: (outcome: string) => void;
};

/** How a request's body comes. */
type Body =
  | { readonly kind: 'none' }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'length'; readonly length: string };

/** Methods whose requests may be made again on another connection. */
const REPEATABLE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Methods that say so where they have no body. */
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/** One request to a preview: passes it on to the program, and the answer back, with back-pressure. */
export class PreviewRequest {
  readonly #options: PreviewRequestOptions;
  readonly #response: ServerResponse;
  readonly #stall: StallWatch;
  readonly #body: Body;
  #upstream: ClientRequest | undefined;
  #isClosed = false;

  constructor(options: PreviewRequestOptions) {
    this.#options = options;
    // The answer of HTTP/2 has the same methods; a union of their overloads cannot be called.
    this.#response = options.response as ServerResponse;
    this.#body = bodyOf(options.request);
    this.#stall = new StallWatch(options.clock, this.#response, () => this.#cut('client stalled'));
    this.#response.once('close', () => {
      this.#stall.stop();
      this.#close(this.#response.writableFinished ? 'ok' : 'client left');
    });
  }

  /** Passes the request on. */
  start(): void {
    if (this.#isClosed) return;
    const upstream = this.#open();
    if (this.#body.kind === 'none') upstream.end();
    else this.#sendBody(upstream);
  }

  /** Ends the preview because access to it ended: at once, whatever is on its way. */
  end(cause: DomainError): void {
    if (this.#response.headersSent) this.#cut(cause.reason);
    else this.fail(cause);
  }

  /** Answers that nothing can be shown. */
  fail(error: unknown): void {
    if (this.#isClosed) return;
    const { request, response, at } = this.#options;
    if (this.#response.headersSent) {
      this.#cut('broken');
      return;
    }
    this.#upstream?.destroy();
    response.setHeader('Cache-Control', 'no-store');
    sendPage(request, response, failurePage(error, at.port));
  }

  #open(): ClientRequest {
    const { tunnels, at, viewerId, request } = this.#options;
    const call: TunnelRequest = {
      ...{ at, viewerId, method: request.method ?? 'GET', target: this.#options.target },
      headers: this.#headers(),
    };
    const upstream = tunnels.open(call);
    this.#upstream = upstream;
    let answered = false;
    upstream.on('response', (answer) => {
      answered = true;
      this.#onAnswer(answer);
    });
    upstream.on('information', (info) => this.#onInformation(info));
    upstream.on('error', (error) => {
      // The program closed a connection that was kept open, just when this request took it.
      const isStale = upstream.reusedSocket && !answered && this.#body.kind === 'none';
      if (isStale && !this.#isClosed && REPEATABLE.has(call.method)) this.#open().end();
      else this.fail(error);
    });
    return upstream;
  }

  #headers(): string[] {
    const { request, client } = this.#options;
    const headers = requestHeaders(request, client, this.#options);
    switch (this.#body.kind) {
      case 'chunked':
        headers.push('Transfer-Encoding', 'chunked');
        break;
      case 'length':
        headers.push('Content-Length', this.#body.length);
        break;
      case 'none':
        if (WITH_BODY.has(request.method ?? '')) headers.push('Content-Length', '0');
    }
    return headers;
  }

  #sendBody(upstream: ClientRequest): void {
    const { request } = this.#options;
    allowSlowBody(request);
    this.#watchBody(upstream);
    request.on('end', () => {
      const trailers = passedTrailers(request.rawTrailers);
      if (this.#body.kind === 'chunked' && trailers) upstream.addTrailers(trailers);
    });
    request.pipe(upstream);
  }

  /** Large bodies may take long; a client that sends nothing is cut. */
  #watchBody(upstream: ClientRequest): void {
    const { request, clock } = this.#options;
    let isMoving = true;
    let timer: Timer;
    const arm = () => {
      timer = clock.setTimer(() => {
        if (!isMoving && !upstream.writableNeedDrain) {
          this.#cut('client stalled');
          return;
        }
        isMoving = false;
        arm();
      }, MAX_STALL_MS);
    };
    arm();
    request.on('data', () => {
      isMoving = true;
    });
    request.once('end', () => timer.clear());
    this.#response.once('close', () => timer.clear());
  }

  #onInformation(info: {
    readonly statusCode: number;
    readonly headers: NodeJS.Dict<string | string[]>;
  }) {
    const { link } = info.headers;
    if (this.#isClosed || info.statusCode !== 103 || link === undefined) return;
    try {
      this.#response.writeEarlyHints({ link });
    } catch {
      // Hints that are malformed are no loss.
    }
  }

  #onAnswer(answer: IncomingMessage): void {
    if (this.#isClosed) {
      answer.destroy();
      return;
    }
    try {
      this.#writeHead(answer);
    } catch (error) {
      this.fail(error);
      return;
    }
    const response = this.#response;
    answer.on('data', () => {
      if (response.writableNeedDrain) this.#stall.start();
    });
    response.on('drain', () => this.#stall.stop());
    answer.on('end', () => {
      const trailers = passedTrailers(answer.rawTrailers);
      if (trailers) response.addTrailers(trailers);
      this.#stall.start();
    });
    // An answer that breaks off must not look like one that ends.
    answer.on('close', () => !answer.complete && this.#cut('broken'));
    answer.on('error', () => this.#cut('broken'));
    answer.pipe(response);
  }

  #writeHead(answer: IncomingMessage): void {
    const { request, response } = this.#options;
    const isChunked = answer.headers['transfer-encoding'] !== undefined;
    const passesTrailers = isChunked && request.method !== 'HEAD' && request.httpVersion !== '1.0';
    const headers = responseHeaders(answer.rawHeaders, this.#options);
    const all = new Map<string, string[]>();
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index] ?? '';
      if (name.toLowerCase() === 'trailer' && !passesTrailers) continue;
      const values = all.get(name.toLowerCase());
      if (values) values.push(headers[index + 1] ?? '');
      else all.set(name.toLowerCase(), [headers[index + 1] ?? '']);
    }
    response.statusCode = answer.statusCode ?? 502;
    if (!('stream' in response) && answer.statusMessage !== undefined) {
      response.statusMessage = answer.statusMessage;
    }
    for (const [name, [first = '', ...others]] of all) {
      this.#response.setHeader(name, others.length === 0 ? first : [first, ...others]);
    }
    // Events must not wait for the first byte of a body.
    this.#response.flushHeaders();
  }

  /** Ends the answer in a way that no client takes for its proper end. */
  #cut(outcome: string): void {
    if (!this.#close(outcome)) return;
    reset(this.#options.response);
  }

  #close(outcome: string): boolean {
    if (this.#isClosed) return false;
    this.#isClosed = true;
    if (outcome !== 'ok') this.#upstream?.destroy();
    this.#options.onClose(outcome);
    return true;
  }
}

function bodyOf(request: HttpRequest): Body {
  const length = request.headers['content-length'];
  if (length !== undefined) return length === '0' ? { kind: 'none' } : { kind: 'length', length };
  if ('stream' in request) {
    return request.stream.endAfterHeaders ? { kind: 'none' } : { kind: 'chunked' };
  }
  return request.headers['transfer-encoding'] === undefined
    ? { kind: 'none' }
    : { kind: 'chunked' };
}
