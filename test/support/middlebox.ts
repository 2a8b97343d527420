import { createServer, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** What a box between a client and its gateway does to them. */
export type Middlebox = {
  readonly url: string;
  /** What it does with requests for WebSockets. */
  webSockets: 'pass' | 'refuse' | 'swallow' | 'cut';
  /** Whether it gathers answers that are streams until they end. */
  isBuffering: boolean;
  /** How many WebSockets it was asked for. */
  readonly upgrades: number;
} & AsyncDisposable;

/** How long one that is cut lives after the gateway's first frame, in milliseconds. */
const CUT_MS = 100;

/** Starts a box in front of a gateway. */
export async function startMiddlebox(gatewayPort: number): Promise<Middlebox> {
  const sockets = new Set<Duplex>();
  let upgrades = 0;
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const host = `localhost:${gatewayPort}`;
    const call = request({ port: gatewayPort, method, path: url, headers: { ...headers, host } });
    call.on('error', () => outgoing.destroy());
    call.on('response', (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      if (!box.isBuffering || !isStream(answer)) outgoing.flushHeaders();
      if (box.isBuffering && isStream(answer)) gather(answer, outgoing);
      else answer.pipe(outgoing);
    });
    outgoing.on('close', () => call.destroy());
    incoming.pipe(call);
  });
  server.on('connection', (socket: Socket) => track(sockets, socket));
  server.on('upgrade', (incoming: IncomingMessage, socket: Duplex) => {
    upgrades += 1;
    socket.on('error', () => {});
    if (box.webSockets === 'swallow') return;
    if (box.webSockets === 'refuse') {
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
      return;
    }
    const upstream = connect(gatewayPort, 'localhost');
    track(sockets, upstream);
    upstream.write(headOf(incoming, gatewayPort));
    upstream.pipe(socket).pipe(upstream);
    upstream.on('close', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
    if (box.webSockets === 'cut') {
      onFirstFrame(upstream, () => setTimeout(() => socket.destroy(), CUT_MS));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  const box: Middlebox = {
    ...{ url: `http://localhost:${port}`, webSockets: 'pass', isBuffering: false },
    get upgrades() {
      return upgrades;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return box;
}

function gather(answer: IncomingMessage, outgoing: NodeJS.WritableStream): void {
  const chunks: Buffer[] = [];
  answer.on('data', (chunk: Buffer) => chunks.push(chunk));
  answer.on('end', () => outgoing.end(Buffer.concat(chunks)));
}

function isStream({ headers }: IncomingMessage): boolean {
  return headers['content-type']?.startsWith('application/connect+') === true;
}

function headOf({ url, rawHeaders }: IncomingMessage, port: number): string {
  const lines = [`GET ${url} HTTP/1.1`];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    const value = name.toLowerCase() === 'host' ? `localhost:${port}` : rawHeaders[index + 1];
    lines.push(`${name}: ${value}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** Calls `then` once something came after the head of the answer. */
function onFirstFrame(upstream: Socket, then: () => void): void {
  let answer = '';
  const onData = (chunk: Buffer): void => {
    answer += chunk.toString('latin1');
    const headEnd = answer.indexOf('\r\n\r\n');
    if (headEnd < 0 || answer.length === headEnd + 4) return;
    upstream.off('data', onData);
    then();
  };
  upstream.on('data', onData);
}

function track(sockets: Set<Duplex>, socket: Socket): void {
  sockets.add(socket);
  socket.on('error', () => {});
  socket.on('close', () => sockets.delete(socket));
}
