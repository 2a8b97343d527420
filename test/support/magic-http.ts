import { Agent, type IncomingHttpHeaders, request } from 'node:http';

/** The answer to a request, as HTTP has it: no redirect is followed, no cookie is kept. */
export type HttpAnswer = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
};

export type Ask = {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
};

/** An HTTP client that keeps its connections, for thousands of requests. */
export class HttpClient implements Disposable {
  readonly #agent: Agent;

  constructor(connections: number) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  /** Sends one request. */
  ask(url: string, { method = 'GET', headers = {}, body }: Ask = {}): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const options = { method, headers, agent: this.#agent };
      const sent = request(url, options, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text });
        });
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  /** Presses the button of a link, as the gateway's own page does. */
  press(link: string, headers: Readonly<Record<string, string>> = {}): Promise<HttpAnswer> {
    return this.ask(link, {
      method: 'POST',
      headers: { origin: new URL(link).origin, ...headers },
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** Runs a job for each item, so many at a time. */
export async function forEachAtOnce<T>(
  items: Iterable<T>,
  atOnce: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = left.next(); !next.done; next = left.next()) await run(next.value);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** The cookie that signs a browser in, if an answer sets it. */
export function sessionCookieIn({ headers }: HttpAnswer): string | undefined {
  const cookies = headers['set-cookie'] ?? [];
  return cookies.map((cookie) => /^__Host-computesdk=([^;]+)/.exec(cookie)?.[1]).find(Boolean);
}
