import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { DomainError } from '../../core/domain-error.ts';
import { resetConnection } from '../../rpc/reset.ts';
import { type HtmlPage, html, htmlPage } from '../http/html-page.ts';
import {
  type RawHeaders,
  type RewriteOptions,
  requestHeaders,
  responseHeaders,
} from './headers.ts';
import { failurePage } from './preview-pages.ts';
import type { Tunnels } from './tunnels.ts';

export type PreviewSocketOptions = RewriteOptions & {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  /** What the client sent after its request. */
  readonly head: Buffer;
  readonly tunnels: Tunnels;
  readonly viewerId: string;
  readonly target: string;
  readonly client: string;
  /** Called once, when nothing more will happen. */
  readonly onClose: () => void;
};

/** One WebSocket to a preview: after the handshake, bytes both ways. */
export class PreviewSocket {
  readonly #options: PreviewSocketOptions;
  #tunnel: Socket | undefined;
  #cancel = () => {};
  #hasAnswered = false;

  constructor(options: PreviewSocketOptions) {
    this.#options = options;
    options.socket.once('close', () => {
      this.#cancel();
      // What was sent before a proper end still arrives.
      if (this.#tunnel?.writableEnded) this.#tunnel.destroySoon();
      else this.#tunnel?.destroy();
      options.onClose();
    });
  }

  /** Passes the handshake on. */
  start(): void {
    const { tunnels, at, viewerId, target, request, client, socket } = this.#options;
    if (socket.destroyed) return;
    const headers = requestHeaders(request, client, this.#options);
    headers.push('Connection', 'Upgrade', 'Upgrade', 'websocket');
    const upstream = tunnels.open({
      ...{ at, viewerId, method: 'GET', target, headers, isUpgrade: true },
    });
    this.#cancel = () => upstream.destroy();
    upstream.on('error', (error) => this.fail(error));
    upstream.on('upgrade', (answer, stream, head) => this.#onUpgrade(answer, stream, head));
    upstream.on('response', (answer) => this.#onRefusal(answer));
    upstream.end();
  }

  /** Ends the connection because access ended: at once. */
  end(cause: DomainError): void {
    if (this.#hasAnswered) {
      resetConnection(this.#options.socket);
      this.#tunnel?.destroy();
    } else this.fail(cause);
  }

  /** Answers that there is nothing to be connected to. */
  fail(error: unknown): void {
    if (this.#hasAnswered) {
      this.#options.socket.destroy();
      return;
    }
    this.#hasAnswered = true;
    this.#cancel();
    refuseUpgrade(this.#options.socket, failurePage(error, this.#options.at.port));
  }

  #onUpgrade(answer: IncomingMessage, tunnel: Socket, head: Buffer): void {
    const { socket } = this.#options;
    if (socket.destroyed || this.#hasAnswered) {
      tunnel.destroy();
      return;
    }
    if (answer.headers.upgrade?.toLowerCase() !== 'websocket') {
      tunnel.destroy();
      this.fail(new Error('another protocol than the one asked for'));
      return;
    }
    this.#hasAnswered = true;
    this.#tunnel = tunnel;
    const own = ['Connection', 'Upgrade', 'Upgrade', 'websocket'];
    socket.write(headText(answer, [...own, ...this.#answerHeaders(answer)]), 'latin1');
    tunnel.setTimeout(0);
    tunnel.on('error', () => socket.destroy());
    tunnel.once('close', (hadError) => (hadError ? socket.destroy() : socket.end()));
    if (head.length > 0) socket.write(head);
    if (this.#options.head.length > 0) tunnel.write(this.#options.head);
    socket.pipe(tunnel);
    tunnel.pipe(socket);
  }

  /** The program answered with something else, which the client gets to see. */
  #onRefusal(answer: IncomingMessage): void {
    const { socket } = this.#options;
    if (socket.destroyed || this.#hasAnswered) {
      answer.destroy();
      return;
    }
    this.#hasAnswered = true;
    const headers = withoutFraming(this.#answerHeaders(answer));
    socket.write(headText(answer, ['Connection', 'close', ...headers]), 'latin1');
    answer.on('error', () => socket.destroy());
    answer.on('close', () => !answer.complete && socket.destroy());
    answer.pipe(socket);
  }

  #answerHeaders(answer: IncomingMessage): string[] {
    return responseHeaders(answer.rawHeaders, this.#options);
  }
}

/** Refuses a change of protocol with a page, and ends the connection. */
export function refuseUpgrade(socket: Socket, page: HtmlPage): void {
  const headers = Object.entries({
    ...page.headers,
    'Cache-Control': 'no-store',
    Connection: 'close',
    'Content-Length': String(Buffer.byteLength(page.text)),
  });
  const head = [
    `HTTP/1.1 ${page.status} ${STATUS_CODES[page.status] ?? ''}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${page.text}`);
}

/** For changes to protocols that previews do not have. */
export function onlyWebSockets(): HtmlPage {
  const body = html`<p>A preview has HTTP and WebSockets.</p>`;
  return htmlPage({ status: 400, title: 'Not a WebSocket', body, isFramable: true });
}

/** Node.js has parsed what is written here: no value holds the end of a line. */
function headText(answer: IncomingMessage, headers: RawHeaders): string {
  let text = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n`;
  for (let index = 0; index < headers.length; index += 2) {
    text += `${headers[index]}: ${headers[index + 1]}\r\n`;
  }
  return `${text}\r\n`;
}

function withoutFraming(headers: readonly string[]): string[] {
  return headers.filter((_, index) => {
    const name = headers[index - (index % 2)]?.toLowerCase();
    return name !== 'content-length' && name !== 'trailer';
  });
}
