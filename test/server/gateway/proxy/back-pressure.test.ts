import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DomainError } from '../../../../server/core/domain-error.ts';
import { MAX_STALL_MS } from '../../../../server/gateway/proxy/stall-watch.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { delay } from '../../../support/until.ts';
import { withToken } from './calls.ts';
import {
  type FakeAgent,
  type Gateway,
  startGateway,
  startTerminalAgent,
  TOKEN_ID,
} from './fixture.ts';

const MESSAGE_BYTES = 50_000;
const MESSAGES = 1_000;
/** What the system's own buffers of two connections may hold, and a little. */
const BUFFERS_BYTES = 16 * 1024 * 1024;
const BODY = Buffer.from([0, 0, 0, 0, 0]);
const PATH = 'computesdk.v1.TerminalService/AttachTerminal';

let agent: FakeAgent;
let gateway: Gateway;
let clock: FakeClock;
/** How many bytes the agent has produced, and whether it was told that nobody wants more. */
let produced: number;
let isAborted: boolean;
let cleanUp: () => void = () => {};

afterEach(async () => {
  cleanUp();
  await gateway.close();
  await agent.close();
});

async function setUp(): Promise<void> {
  produced = 0;
  isAborted = false;
  clock = new FakeClock();
  agent = await startTerminalAgent({
    async *attachTerminal(_request, context) {
      context.signal.addEventListener('abort', () => {
        isAborted = true;
      });
      for (let index = 0; index < MESSAGES; index += 1) {
        yield { event: { case: 'output', value: { data: new Uint8Array(MESSAGE_BYTES) } } };
        produced += MESSAGE_BYTES;
      }
    },
    listTerminals: () => ({}),
  });
  gateway = await startGateway({ socketPath: agent.socketPath, clock });
}

describe('a client over HTTP/1.1 that takes nothing', () => {
  it('stops the agent, and gets everything when it goes on', async () => {
    await setUp();
    const socket = attachHttp1();
    await standstill();
    expect(produced).toBeLessThan(BUFFERS_BYTES);
    let bytes = 0;
    socket.on('data', (data) => {
      bytes += data.length;
    });
    await expect.poll(() => bytes, { timeout: 10_000 }).toBeGreaterThan(MESSAGES * MESSAGE_BYTES);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is cut after 30 seconds', async () => {
    await setUp();
    const socket = attachHttp1();
    await standstill();
    clock.advance(MAX_STALL_MS - 1);
    await delay(50);
    expect(socket.destroyed || isAborted).toBe(false);
    clock.advance(MAX_STALL_MS);
    await expect.poll(() => isAborted).toBe(true);
    expect(gateway.calls.size).toBe(0);
  });

  it('is cut soon when its call is ended', async () => {
    await setUp();
    const socket = attachHttp1();
    await standstill();
    let isOver = false;
    const cut = gateway.calls
      .endPrincipal(TOKEN_ID, new DomainError('REVOKED', 'revoked'))
      .then(() => {
        isOver = true;
      });
    expect(gateway.calls.size).toBe(0);
    await expect.poll(() => isAborted).toBe(true);
    expect(isOver).toBe(false);
    clock.advance(100);
    await cut;
    await expect.poll(() => clock.pendingTimers).toBe(0);
    let end = '';
    socket.on('data', (data) => {
      end = data.subarray(-200).toString('latin1');
    });
    await new Promise((resolve) => socket.once('close', resolve));
    // It was cut: neither what waited in the gateway nor the end behind it was sent.
    expect(end).not.toContain('revoked');
    expect(end).not.toMatch(/\r\n0\r\n\r\n$/);
  });

  function attachHttp1(): Socket {
    const socket = connect(gateway.port, '127.0.0.1');
    cleanUp = () => socket.destroy();
    socket.on('error', () => {});
    const head = [
      `POST ${new URL(gateway.sandboxUrl).pathname}/${PATH} HTTP/1.1`,
      'Host: localhost',
      `Authorization: ${withToken().headers.authorization}`,
      'Content-Type: application/connect+proto',
      `Content-Length: ${BODY.length}`,
    ];
    socket.write(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), BODY]));
    return socket;
  }
});

describe('a stream over HTTP/2 whose client takes nothing', () => {
  it('stops its agent and none of the other calls on the connection', async () => {
    await setUp();
    const session = open();
    const stream = request(session, PATH, 'application/grpc+proto', BODY);
    stream.pause();
    await standstill();
    expect(produced).toBeLessThan(BUFFERS_BYTES);
    const other = request(session, PATH.replace('Attach', 'List').concat('s'), 'application/proto');
    const status = await new Promise((resolve) => {
      other.on('response', (headers) => resolve(headers[':status']));
    });
    expect(status).toBe(200);
    let bytes = 0;
    let trailers = {};
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.on('data', (data) => {
      bytes += data.length;
    });
    stream.resume();
    await expect.poll(() => trailers, { timeout: 10_000 }).toMatchObject({ 'grpc-status': '0' });
    expect(bytes).toBeGreaterThan(MESSAGES * MESSAGE_BYTES);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is reset after 30 seconds, and the connection lives', async () => {
    await setUp();
    const session = open();
    const stream = request(session, PATH, 'application/grpc+proto', BODY);
    stream.on('error', () => {});
    stream.pause();
    await standstill();
    clock.advance(2 * MAX_STALL_MS);
    await expect.poll(() => isAborted).toBe(true);
    await expect.poll(() => stream.closed).toBe(true);
    expect(session.closed).toBe(false);
  });

  function open(): ClientHttp2Session {
    const session = connectHttp2(`http://127.0.0.1:${gateway.port}`);
    session.on('error', () => {});
    cleanUp = () => session.destroy();
    return session;
  }

  function request(session: ClientHttp2Session, path: string, type: string, body?: Buffer) {
    const stream = session.request({
      ':method': 'POST',
      ':path': `${new URL(gateway.sandboxUrl).pathname}/${path}`,
      ...withToken().headers,
      'content-type': type,
    });
    stream.end(body);
    return stream;
  }
});

/** Resolves when the agent has produced something and can produce no more. */
async function standstill(): Promise<void> {
  let last = -1;
  while (produced === 0 || produced !== last) {
    last = produced;
    await delay(150);
  }
}
