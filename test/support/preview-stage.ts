import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { Sandbox } from '../../client/index.ts';
import { PreviewService } from '../../gen/computesdk/v1/preview_service_pb.ts';
import { bearer, newSandbox } from './clients.ts';
import { type GatewayOptions, TestGateway } from './gateway.ts';
import { repositoryRoot } from './paths.ts';
import { Reader } from './traffic.ts';
import { until } from './until.ts';

export type PreviewAnswer = {
  readonly status: number;
  readonly message: IncomingMessage;
  readonly text: string;
  readonly json: () => unknown;
};

/** A request as a program in the box got it. */
export type SeenRequest = {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
};

export type PreviewAsk = {
  readonly method?: string;
  readonly path?: string;
  /** Cookie header. Default: that of {@link PreviewStage.enter}. */
  readonly cookie?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Buffer;
  readonly host?: string;
};

/** A gateway with a sandbox in which programs serve ports. */
export class PreviewStage implements AsyncDisposable {
  readonly gateway: TestGateway;
  readonly sandboxId: string;
  readonly sandboxUrl: string;
  readonly token: string;
  readonly sandbox: Sandbox;
  readonly #cookies = new Map<number, string>();
  readonly #upgrades = new Set<RawUpgrade>();

  private constructor(parts: {
    gateway: TestGateway;
    sandboxId: string;
    sandboxUrl: string;
    token: string;
    sandbox: Sandbox;
  }) {
    this.gateway = parts.gateway;
    this.sandboxId = parts.sandboxId;
    this.sandboxUrl = parts.sandboxUrl;
    this.token = parts.token;
    this.sandbox = parts.sandbox;
  }

  static async open(
    options: GatewayOptions = {},
    request: Parameters<typeof newSandbox>[1] = {},
  ): Promise<PreviewStage> {
    const gateway = await TestGateway.start(options);
    const { sandbox: record, token } = await newSandbox(gateway, request);
    const sandbox = await Sandbox.connect({ url: record.url, token });
    const { id: sandboxId, url: sandboxUrl } = record;
    return new PreviewStage({ gateway, sandboxId, sandboxUrl, token, sandbox });
  }

  /** The sandbox's `/project` on the host. */
  get project(): string {
    return join(this.gateway.dataDirectory, 'sandboxes', this.sandboxId, 'project');
  }

  /** Starts the program that serves these ports. Resolves when it listens on all. */
  async serve(ports: readonly number[], host = '127.0.0.1'): Promise<void> {
    const app = 'preview-app.mjs';
    copyFileSync(join(repositoryRoot, 'test', 'support', app), join(this.project, app));
    const terminal = await this.sandbox.terminal.create({
      ...{ pty: false, shell: 'node', args: [app, host, ...ports.map(String)] },
    });
    const reader = new Reader(terminal);
    await until(() => ports.every((port) => reader.text.includes(`listening on ${port}\n`)), {
      what: `the program to listen, which said ${reader.text}`,
    });
  }

  /** A new address of a preview. */
  async url(port: number, token = this.token): Promise<string> {
    const transport = createConnectTransport({
      ...{ baseUrl: this.sandboxUrl, httpVersion: '1.1', interceptors: [bearer(token)] },
    });
    return (await createClient(PreviewService, transport).createPreviewUrl({ port })).url;
  }

  host(port: number | string, sandboxId = this.sandboxId): string {
    return `${port}-${sandboxId}.localhost:${this.gateway.port}`;
  }

  /** Path and query of a new address. */
  async ticketPath(port: number, token = this.token): Promise<string> {
    const { pathname, search } = new URL(await this.url(port, token));
    return pathname + search;
  }

  /** What the program on a port was asked. */
  async seen(port: number): Promise<readonly SeenRequest[]> {
    // Who serves the port wrote it.
    return ((await this.ask(port, { path: '/seen' })).json() as { requests: SeenRequest[] })
      .requests;
  }

  /** Opens a new address as a browser does, and returns the Cookie header that it then has. */
  async enter(port: number, token = this.token): Promise<string> {
    const answer = await this.ask(port, { path: await this.ticketPath(port, token), cookie: '' });
    if (answer.status !== 303) throw new Error(`not let in: ${answer.status} ${answer.text}`);
    const cookies = answer.message.headers['set-cookie'] ?? [];
    return cookies.map((cookie) => cookie.split(';', 1)[0] ?? '').join('; ');
  }

  /** The Cookie header of a browser that is let in. */
  async cookie(port: number): Promise<string> {
    const cookie = this.#cookies.get(port) ?? (await this.enter(port));
    this.#cookies.set(port, cookie);
    return cookie;
  }

  /** Makes a request to a preview. */
  async ask(port: number, ask: PreviewAsk = {}): Promise<PreviewAnswer> {
    const message = await this.begin(port, ask);
    let text = '';
    message.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    await once(message, 'end');
    const status = message.statusCode ?? 0;
    return { status, message, text, json: () => JSON.parse(text) };
  }

  /** As {@link ask}, but resolves when the answer begins. */
  async begin(port: number, ask: PreviewAsk = {}): Promise<IncomingMessage> {
    const cookie = ask.cookie ?? (await this.cookie(port));
    const call = httpRequest({
      ...{ host: '127.0.0.1', port: this.gateway.port, agent: false },
      ...{ method: ask.method ?? 'GET', path: ask.path ?? '/echo' },
      headers: {
        host: ask.host ?? this.host(port),
        ...(cookie !== '' && { cookie }),
        ...ask.headers,
      },
    });
    call.end(ask.body);
    const [message] = await once(call, 'response');
    // What goes wrong from here on is told by the answer.
    call.on('error', () => {});
    return message;
  }

  /** A connection to the gateway, on which a request for a WebSocket was made. */
  async upgrade(
    port: number,
    ask: PreviewAsk & { readonly raw?: string } = {},
  ): Promise<RawUpgrade> {
    const cookie = ask.cookie ?? (await this.cookie(port));
    const socket = connect({ host: '127.0.0.1', port: this.gateway.port, allowHalfOpen: true });
    const upgrade = new RawUpgrade(socket);
    this.#upgrades.add(upgrade);
    const headers = Object.entries(ask.headers ?? {}).flatMap(([name, value]) =>
      [value].flat().map((one) => `${name}: ${one}\r\n`),
    );
    socket.write(
      [
        `GET ${ask.path ?? '/socket'} HTTP/1.1\r\nHost: ${ask.host ?? this.host(port)}\r\n`,
        'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n',
        cookie === '' ? '' : `Cookie: ${cookie}\r\n`,
        ...headers,
        '\r\n',
        ask.raw ?? '',
      ].join(''),
      'latin1',
    );
    await upgrade.until(/\r\n\r\n/);
    return upgrade;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.#upgrades) socket.destroy();
    await this.sandbox.disconnect();
    await this.gateway.stop();
  }
}

/** The client's side of a connection that changes its protocol. */
export class RawUpgrade {
  readonly socket: Socket;
  text = '';
  hasEnded = false;
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      this.text += chunk;
    });
    socket.on('end', () => {
      this.hasEnded = true;
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  get status(): number {
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(this.text)?.[1]);
  }

  /** Resolves when what came matches. */
  async until(pattern: RegExp): Promise<void> {
    await until(() => pattern.test(this.text) || this.isClosed, {
      what: `${pattern} in ${this.text}`,
    });
  }
}
