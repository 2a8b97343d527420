import { create, toBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { afterEach, describe, expect, it } from 'vitest';
import { fromWireError } from '../../../../frames/wire-error.ts';
import { ErrorDetailSchema, ErrorReason } from '../../../../gen/computesdk/v1/error_pb.ts';
import type { Frame, WireError } from '../../../../gen/computesdk/v1/frame_pb.ts';
import { WriteTerminalRequestSchema } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { DomainError } from '../../../../server/core/domain-error.ts';
import { HELLO_MS, MAX_HELLO_BYTES } from '../../../../server/gateway/socket/greeting.ts';
import { MAX_UNKNOWN_SOCKETS } from '../../../../server/gateway/socket/socket-upgrade.ts';
import { RawSocket, type RawSocketOptions } from '../../../support/raw-socket.ts';
import { until } from '../../../support/until.ts';
import {
  type Gateway,
  type GatewayOptions,
  READ_ONLY_TOKEN,
  SANDBOX_ID,
  startGateway,
  TOKEN,
  TOKEN_ID,
} from '../proxy/fixture.ts';
import { type FakeLink, type FakeLinkAgent, startLinkAgent } from './fake-link.ts';

const BEARER = `Bearer ${TOKEN}`;
const LIST = '/computesdk.v1.TerminalService/ListTerminals';
const WRITE = '/computesdk.v1.TerminalService/WriteTerminal';
const ATTACH = '/computesdk.v1.TerminalService/AttachTerminal';
const WHO_AM_I = '/computesdk.v1.AuthService/WhoAmI';

let agent: FakeLinkAgent | undefined;
let gateway: Gateway | undefined;
const sockets: RawSocket[] = [];

afterEach(async () => {
  await Promise.all(sockets.splice(0).map((socket) => socket.close()));
  await gateway?.close();
  await agent?.close();
});

/** Answers calls of one message, and sends one message down each stream. */
function answering({ stream, body }: Frame, link: FakeLink): void {
  if (body.case !== 'open') return;
  if (body.value.method === ATTACH) {
    link.send(stream, { case: 'head', value: {} });
    link.send(stream, { case: 'message', value: Uint8Array.of(1, 2, 3) });
  } else {
    link.send(stream, { case: 'end', value: { message: Uint8Array.of() } });
  }
}

async function start(
  onFrame: (frame: Frame, link: FakeLink) => void = answering,
  options: Partial<GatewayOptions> = {},
): Promise<{ agent: FakeLinkAgent; gateway: Gateway }> {
  agent = await startLinkAgent(onFrame);
  gateway = await startGateway({ socketPath: agent.socketPath, ...options });
  return { agent, gateway };
}

function connect(
  options: RawSocketOptions = { authorization: BEARER },
  path = SANDBOX_ID,
): RawSocket {
  const socket = new RawSocket(`${gateway?.url}/sandboxes/${path}`, options);
  sockets.push(socket);
  return socket;
}

function told(error: WireError | undefined) {
  const failure = error && fromWireError(error);
  const [detail] = failure?.findDetails(ErrorDetailSchema) ?? [];
  return [failure?.code, detail?.reason];
}

describe('a WebSocket to a sandbox', () => {
  it('serves calls of the sandbox and of the gateway at once', async () => {
    const { agent } = await start();
    const socket = connect();
    await socket.frame('welcome');
    socket.open(1, LIST);
    socket.open(2, WHO_AM_I);
    socket.open(3, ATTACH);
    expect((await socket.frame('end', 1)).value.error).toBeUndefined();
    expect((await socket.frame('end', 2)).value.message?.length).toBeGreaterThan(0);
    expect((await socket.frame('message', 3)).value).toEqual(Buffer.of(1, 2, 3));
    expect(agent.links).toHaveLength(1);
  });

  it('takes calls before it has welcomed', async () => {
    await start();
    const socket = connect();
    socket.webSocket.on('open', () => socket.open(1, LIST));
    expect((await socket.frame('end', 1)).value.error).toBeUndefined();
  });

  it('ends with the reason when the credential is none', async () => {
    const { agent } = await start();
    const socket = connect({ authorization: 'Bearer forged' });
    socket.webSocket.on('open', () => socket.open(1, LIST));
    expect(told((await socket.frame('ended')).value.error)).toEqual([
      Code.Unauthenticated,
      ErrorReason.UNAUTHENTICATED,
    ]);
    await socket.closed;
    expect([socket.frames.length, agent.links.length]).toEqual([1, 0]);
  });

  it('closes one that says nothing, after 5 s', async () => {
    await start();
    const socket = connect({});
    const startedAt = performance.now();
    const { value } = await socket.frame('ended');
    expect(performance.now() - startedAt).toBeGreaterThan(HELLO_MS - 100);
    expect(value.error?.message).toContain('hello');
    await socket.closed;
  });

  it.each([
    ['a text', (socket: RawSocket) => socket.webSocket.send('hello')],
    ['a frame that is no hello', (socket: RawSocket) => socket.open(1, LIST)],
    [
      'bytes that are no frame',
      (socket: RawSocket) => socket.webSocket.send(Buffer.alloc(20, 255)),
    ],
    [
      'a hello above 16 KiB',
      (socket: RawSocket) => {
        const authorization = `Bearer ${'x'.repeat(MAX_HELLO_BYTES)}`;
        socket.send(0, { case: 'hello', value: { authorization } });
      },
    ],
    [
      'a message above 16 KiB that never ends',
      (socket: RawSocket) => {
        socket.webSocket.send(Buffer.alloc(MAX_HELLO_BYTES), { fin: false });
        socket.webSocket.send(Buffer.alloc(1024), { fin: false });
      },
    ],
  ])('closes one whose first is %s', async (_what, say) => {
    const { agent } = await start();
    const socket = connect({});
    socket.webSocket.on('open', () => say(socket));
    expect((await socket.frame('ended')).value.error?.message).toContain('hello');
    await socket.closed;
    expect(agent.links).toHaveLength(0);
  });

  it('refuses more than 64 of an address that have not said who they are', async () => {
    await start();
    const silent = Array.from({ length: MAX_UNKNOWN_SOCKETS }, () => connect({}));
    await until(() => silent.every(({ webSocket }) => webSocket.readyState === 1), {
      what: 'the silent ones',
    });
    expect((await connect().closed).status).toBe(429);
    silent[0]?.send(0, { case: 'hello', value: { authorization: BEARER } });
    await silent[0]?.frame('welcome');
    await connect().frame('welcome');
  });

  it.each([
    ['a foreign origin', { Origin: 'https://evil.example' }, SANDBOX_ID, 403],
    [
      'a page that a sandbox serves',
      { Origin: `http://3000-${SANDBOX_ID}.localhost` },
      SANDBOX_ID,
      403,
    ],
    ['another host', { Host: 'evil.example' }, SANDBOX_ID, 421],
    ['no sandbox', {}, 'nothing', 400],
    ['another path', {}, `${SANDBOX_ID}/else`, 404],
  ])('is refused for %s', async (_what, headers, path, status) => {
    await start(answering, { publicUrl: 'https://gateway.example' });
    expect((await connect({ authorization: BEARER, headers }, path).closed).status).toBe(status);
  });

  it('with a credential in its address is refused', async () => {
    await start();
    expect((await connect({ query: '?token=x' }).closed).status).toBe(400);
  });

  it.each([
    ['a stream again', (socket: RawSocket) => socket.open(1, LIST)],
    ['a frame of no call', (socket: RawSocket) => socket.send(9, { case: 'finish', value: {} })],
    ['an answer', (socket: RawSocket) => socket.send(1, { case: 'end', value: {} })],
    ['a second hello', (socket: RawSocket) => socket.send(0, { case: 'hello', value: {} })],
    ['a welcome', (socket: RawSocket) => socket.send(0, { case: 'welcome', value: {} })],
    ['no frame', (socket: RawSocket) => socket.webSocket.send(Buffer.from('ff', 'hex'))],
    ['a text', (socket: RawSocket) => socket.webSocket.send('x')],
  ])('ends when the client sends %s', async (_what, send) => {
    await start();
    const socket = connect();
    await socket.frame('welcome');
    socket.open(1, ATTACH);
    await socket.frame('message', 1);
    send(socket);
    expect(told((await socket.frame('ended')).value.error)).toEqual([
      Code.InvalidArgument,
      ErrorReason.INVALID_ARGUMENT,
    ]);
    expect((await socket.closed).code).toBe(1002);
    expect(gateway?.calls.size).toBe(0);
  });
});

describe('a call on a WebSocket', () => {
  it('is authorized by the gateway, whatever the sandbox thinks', async () => {
    const { agent } = await start();
    const socket = connect({ authorization: `Bearer ${READ_ONLY_TOKEN}` });
    const data = Buffer.from('canary-input');
    const request = create(WriteTerminalRequestSchema, { terminalId: 't', data });
    await socket.frame('welcome');
    socket.open(1, ATTACH);
    await socket.frame('message', 1);
    socket.open(2, WRITE, toBinary(WriteTerminalRequestSchema, request));
    expect(told((await socket.frame('end', 2)).value.error)).toEqual([
      Code.PermissionDenied,
      ErrorReason.PERMISSION_DENIED,
    ]);
    expect(Buffer.concat(agent.seen).includes('canary-input')).toBe(false);
    // A call may bring a credential of its own.
    const headers = [{ name: 'authorization', value: BEARER }];
    socket.send(3, { case: 'open', value: { method: WRITE, headers, finished: true } });
    expect((await socket.frame('end', 3)).value.error).toBeUndefined();
  });

  it('takes nothing into the sandbox that says who the client is', async () => {
    const { agent } = await start();
    const socket = connect({
      authorization: BEARER,
      headers: { Cookie: 'session=canary', 'X-Computesdk-Subject': 'canary' },
    });
    await socket.frame('welcome');
    const names = ['authorization', 'cookie', 'x-computesdk-subject', 'x-any'];
    const headers = names.map((name) => ({
      name,
      value: name === 'authorization' ? BEARER : 'canary',
    }));
    socket.send(1, { case: 'open', value: { method: LIST, headers, finished: true } });
    expect((await socket.frame('end', 1)).value.error).toBeUndefined();
    for (let refresh = 0; refresh < 100; refresh += 1) {
      socket.send(0, { case: 'credential', value: { authorization: BEARER } });
    }
    socket.open(2, LIST);
    await socket.frame('end', 2);
    const seen = Buffer.concat(agent.seen).toString('latin1');
    expect(seen).toContain('subject');
    for (const secret of [TOKEN, 'canary', 'Bearer']) expect(seen).not.toContain(secret);
  });

  it('ends with the reason when its access does, and so does the connection', async () => {
    await start();
    const socket = connect();
    await socket.frame('welcome');
    socket.open(1, ATTACH);
    await socket.frame('message', 1);
    expect(gateway?.calls.size).toBe(2);
    void gateway?.calls.endPrincipal(TOKEN_ID, new DomainError('REVOKED', 'gone'));
    expect(told((await socket.frame('ended')).value.error)).toEqual([
      Code.Unauthenticated,
      ErrorReason.REVOKED,
    ]);
    await socket.closed;
    expect(gateway?.calls.size).toBe(0);
  });

  it('of a sandbox whose agent dies says so, and the next call finds the next agent', async () => {
    const { agent } = await start();
    const socket = connect();
    await socket.frame('welcome');
    socket.open(1, ATTACH);
    await socket.frame('message', 1);
    agent.links[0]?.socket.destroy();
    expect(told((await socket.frame('end', 1)).value.error)).toEqual([
      Code.Unavailable,
      ErrorReason.AGENT_UNAVAILABLE,
    ]);
    socket.open(2, LIST);
    expect((await socket.frame('end', 2)).value.error).toBeUndefined();
    expect(agent.links).toHaveLength(2);
  });

  it('that the client cancels ends in the sandbox', async () => {
    const ended: (string | undefined)[] = [];
    await start((frame, link) => {
      answering(frame, link);
      if (frame.stream === 1) ended.push(frame.body.case);
    });
    const socket = connect();
    await socket.frame('welcome');
    socket.open(1, ATTACH);
    await socket.frame('message', 1);
    socket.send(1, { case: 'cancel', value: {} });
    await until(() => ended.includes('cancel'), { what: 'the end in the sandbox' });
    // The connection itself is left.
    expect(gateway?.calls.size).toBe(1);
  });
});
