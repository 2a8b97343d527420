import { createServer, type IncomingHttpHeaders, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as it passed. */
export type PassedRequest = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** The status of its answer. 0 until it came. */
  status: number;
};

/** An HTTP/1.1 proxy in front of a gateway, which notes what a browser sends. */
export class RecordingProxy implements AsyncDisposable {
  /** What clients call. */
  readonly origin: string;
  readonly passed: PassedRequest[] = [];
  /** Pages of its own by path, as somebody's who got a page onto the gateway's origin. */
  readonly pages = new Map<string, string>();
  /** Whether the answer to a request is lost: the gateway did what it asked for, and nobody hears of it. */
  losesAnswer: (passed: PassedRequest) => boolean = () => false;
  /** A free port, for the gateway to listen on. */
  readonly upstreamPort: number;
  readonly #server: Server;

  private constructor(server: Server, upstreamPort: number) {
    this.#server = server;
    this.upstreamPort = upstreamPort;
    this.origin = `http://localhost:${portOf(server)}`;
  }

  /** Starts it before the gateway, whose public address it is. */
  static async start(): Promise<RecordingProxy> {
    const server = createServer();
    const upstream = createServer();
    for (const each of [server, upstream]) {
      await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve));
    }
    const proxy = new RecordingProxy(server, portOf(upstream));
    await new Promise((resolve) => upstream.close(resolve));
    server.on('request', (incoming, answer) => {
      const { method = '', url = '', headers } = incoming;
      const page = proxy.pages.get(url);
      if (page !== undefined) {
        answer.setHeader('content-type', 'text/html');
        answer.end(page);
        return;
      }
      const note: PassedRequest = { method, url, headers, status: 0 };
      proxy.passed.push(note);
      const options = { host: '127.0.0.1', port: proxy.upstreamPort, method, path: url, headers };
      const onward = request({ ...options, agent: false }, (upstream) => {
        note.status = upstream.statusCode ?? 0;
        if (proxy.losesAnswer(note)) return;
        answer.writeHead(note.status, upstream.rawHeaders);
        upstream.pipe(answer);
      });
      onward.on('error', () => answer.destroy());
      answer.on('close', () => onward.destroy());
      incoming.pipe(onward);
    });
    return proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function portOf(server: Server): number {
  // A listening TCP server's address is an object.
  return (server.address() as AddressInfo).port;
}
