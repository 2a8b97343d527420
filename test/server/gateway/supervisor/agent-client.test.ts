import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createNetServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { SuperviseResponseSchema } from '../../../../gen/computesdk/agent/v1/agent_service_pb.ts';
import { systemClock } from '../../../../server/core/clock.ts';
import { AgentClient } from '../../../../server/gateway/rpc/agent-client.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { timeBound } from '../../../support/time-bound.ts';
import { until } from '../../../support/until.ts';

const HELLO = { case: 'hello', value: { sandboxId: 'sbx1', bootId: 'bot1', protocolVersion: 1 } };
const KEEP_ALIVE = { case: 'keepAlive', value: {} };
const STREAM = { 'Content-Type': 'application/connect+proto' };
const ignore = (): void => {};

let directory: string;
let socketPath: string;
let stop: () => Promise<void> = async () => {};
let count = 0;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'agent-'));
});
afterEach(() => stop());
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('greet', () => {
  test('gives what the agent says about itself, and tells of every sign of life', async () => {
    await serve((_request, response) => {
      response.writeHead(200, STREAM);
      response.write(Buffer.concat([message(HELLO), message(KEEP_ALIVE), message(KEEP_ALIVE)]));
    });
    let signs = 0;
    const greeted = await greet({ onKeepAlive: () => (signs += 1) });
    expect(greeted.identity).toEqual(HELLO.value);
    await until(() => signs === 2, { what: 'two signs of life' });
    greeted.leave();
    expect(await greeted.lost).toBe('no longer watched');
  });

  test('sends a Host header that means nothing, and no credential', async () => {
    const seen: unknown[] = [];
    await serve((request, response) => {
      seen.push(request.headers);
      response.writeHead(200, STREAM);
      response.write(message(HELLO));
    });
    (await greet()).leave();
    expect(seen).toHaveLength(1);
    expect(Object.keys(Object(seen[0])).sort()).toEqual([
      ...['connect-protocol-version', 'connection', 'content-type', 'host'],
      ...['transfer-encoding', 'user-agent'],
    ]);
    expect(seen[0]).toMatchObject({ host: 'agent' });
  });

  test('learns within 100 ms that the agent died', async () => {
    let connection: Socket | undefined;
    await serve((request, response) => {
      connection = request.socket;
      response.writeHead(200, STREAM);
      response.write(message(HELLO));
    });
    const greeted = await greet();
    const from = performance.now();
    connection?.destroy();
    await greeted.lost;
    const lostMs = performance.now() - from;
    expect(lostMs).toBeLessThan(await timeBound(100));
  });

  test('calls an agent lost that falls silent, and not before 30 s', async () => {
    await serve((_request, response) => {
      response.writeHead(200, STREAM);
      response.write(message(HELLO));
    });
    const clock = new FakeClock();
    const greeted = await greet({ clock });
    let why = '';
    void greeted.lost.then((text) => {
      why = text;
    });
    await clock.advanceAsync(30_000, 1000);
    expect(why).toBe('');
    await clock.advanceAsync(3000, 1000);
    await until(() => why !== '', { what: 'the agent is called lost' });
    expect(why).toBe('silent for 30000 ms');
    expect(clock.pendingTimers).toBe(0);
  });

  test('drops an agent that floods', async () => {
    await serve((_request, response) => {
      response.writeHead(200, STREAM);
      response.write(message(HELLO));
      const flood = Buffer.concat(Array<Buffer>(1000).fill(message(KEEP_ALIVE)));
      const pump = () => {
        while (!response.destroyed && response.write(flood));
      };
      response.on('drain', pump);
      pump();
    });
    const greeted = await greet();
    expect(await greeted.lost).toContain('more than 20 messages');
  });
});

describe('a hostile agent', () => {
  const cases: readonly (readonly [string, RequestListener])[] = [
    ['ends the stream at once', (_request, response) => response.writeHead(200, STREAM).end()],
    [
      'answers with HTML',
      (_request, response) => response.setHeader('Content-Type', 'text/html').end('<script>'),
    ],
    [
      'redirects',
      (_request, response) => response.writeHead(302, { Location: 'http://127.0.0.1:1/' }).end(),
    ],
    [
      'says something else first',
      (_request, response) => void response.writeHead(200, STREAM).write(message(KEEP_ALIVE)),
    ],
    [
      'announces a message of 4 GiB',
      (_request, response) =>
        void response.writeHead(200, STREAM).write(Buffer.from([0, 255, 255, 255, 255, 1])),
    ],
    [
      'sends a message that is not protobuf',
      (_request, response) =>
        void response.writeHead(200, STREAM).write(Buffer.from([0, 0, 0, 0, 3, 255, 255, 255])),
    ],
    [
      'sends a message that claims to be compressed',
      (_request, response) =>
        void response
          .writeHead(200, { ...STREAM, 'connect-content-encoding': 'gzip' })
          .write(Buffer.from([1, 0, 0, 0, 3, 1, 2, 3])),
    ],
    ['sends headers without end', (_request, response) => endless(response.socket)],
    ['is not HTTP', (_request, response) => void response.socket?.end('SSH-2.0-OpenSSH_9\r\n')],
    ['hangs up', (_request, response) => void response.socket?.destroy()],
  ];

  test.each(cases)('that %s is refused', async (_what, listener) => {
    await serve(listener);
    await expect(greet({ signal: AbortSignal.timeout(5000) })).rejects.toSatisfy(
      (error) => error instanceof Error && error.name !== 'TimeoutError',
    );
  });

  test('that takes the connection and says nothing is given up with the signal', async () => {
    await serve(ignore);
    const limit = AbortSignal.timeout(100);
    await expect(greet({ signal: limit })).rejects.toMatchObject({ name: 'TimeoutError' });
    const client = new AgentClient(systemClock);
    const soon = () => AbortSignal.timeout(50);
    await expect(client.shutdown({ socketPath }, soon())).rejects.toThrow();
    await expect(client.setExpiry({ socketPath }, 1, soon())).rejects.toThrow();
  });

  test('that switches protocols is given up with the signal', async () => {
    const switching =
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n';
    await serve((_request, response) => void response.socket?.write(switching));
    await expect(greet({ signal: AbortSignal.timeout(100) })).rejects.toThrow();
  });

  test('that is not there is known at once', async () => {
    socketPath = join(directory, 'nothing.sock');
    await expect(greet()).rejects.toThrow(/ENOENT/);
    const closed = createNetServer();
    await new Promise<void>((resolve) => closed.listen(socketPath, resolve));
    await new Promise((resolve) => closed.close(resolve));
    await expect(greet()).rejects.toThrow(/ENOENT|ECONNREFUSED/);
  });
});

type GreetTestOptions = {
  readonly clock?: FakeClock;
  readonly signal?: AbortSignal;
  readonly onKeepAlive?: () => void;
};

function greet(options: GreetTestOptions = {}) {
  const { clock = systemClock, signal = AbortSignal.timeout(5000), onKeepAlive = ignore } = options;
  return new AgentClient(clock).greet({ socketPath }, { signal, onKeepAlive });
}

async function serve(listener: RequestListener): Promise<void> {
  count += 1;
  socketPath = join(directory, `${count}.sock`);
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  stop = async () => {
    stop = async () => {};
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
}

/** One Connect envelope. */
function message(event: { readonly case: string; readonly value: unknown }): Buffer {
  const typed = { event } as Parameters<typeof create<typeof SuperviseResponseSchema>>[1]; // One of the two above.
  const body = toBinary(SuperviseResponseSchema, create(SuperviseResponseSchema, typed));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function endless(socket: Socket | null): void {
  if (!socket) return;
  socket.on('error', ignore);
  socket.write('HTTP/1.1 200 OK\r\n');
  const pump = () => {
    while (!socket.destroyed && socket.write(`x-${'a'.repeat(500)}: b\r\n`));
  };
  socket.on('drain', pump);
  pump();
}
