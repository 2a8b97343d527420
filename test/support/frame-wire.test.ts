import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { decodeFrame, encodeFrame, type FrameBody } from '../../frames/frame.ts';
import { ChaosProxy } from './chaos-proxy.ts';
import { until } from './until.ts';

const ATTACH = '/computesdk.v1.TerminalService/AttachTerminal';
const WRITE = '/computesdk.v1.TerminalService/WriteX';

let server: Server;
let sockets: WebSocketServer;
let proxy: ChaosProxy;
/** What came to the server: the kind of a frame, or the message that a call was opened with. */
let received: string[];
/** What the server answers the frames that open calls. */
let answers: FrameBody[];

beforeEach(async () => {
  received = [];
  answers = [];
  server = createServer();
  sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data: Buffer) => {
      const { stream, body } = decodeFrame(data);
      if (body.case !== 'open') received.push(String(body.case));
      else received.push(Buffer.from(body.value.message ?? []).toString());
      if (body.case === 'hello') socket.send(encodeFrame(0, { case: 'welcome', value: {} }));
      if (body.case === 'open') for (const each of answers) socket.send(encodeFrame(stream, each));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy = await ChaosProxy.open({ port: (server.address() as AddressInfo).port });
});

afterEach(async () => {
  await proxy.close();
  sockets.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** A client that has connected and said hello, or was cut before. */
async function connected(): Promise<Client> {
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/sandboxes/sbx1/socket`);
  const client: Client = { socket, frames: [], isClosed: false, sent: 0 };
  socket.binaryType = 'arraybuffer';
  socket.onmessage = ({ data }) => {
    const { body } = decodeFrame(new Uint8Array(data));
    client.frames.push(body.case === 'message' ? `message ${body.value.length}` : `${body.case}`);
  };
  socket.onclose = () => {
    client.isClosed = true;
  };
  socket.onerror = () => {};
  socket.onopen = () => socket.send(encodeFrame(0, { case: 'hello', value: {} }));
  await until(() => client.isClosed || client.frames.length > 0, { what: 'a welcome' });
  return client;
}

type Client = { socket: WebSocket; frames: string[]; isClosed: boolean; sent: number };

function open(client: Client, method: string, text: string): void {
  client.sent += 1;
  const value = { method, message: Buffer.from(text), finished: true };
  client.socket.send(encodeFrame(client.sent, { case: 'open', value }));
}

const HEAD: FrameBody = { case: 'head', value: {} };
const END: FrameBody = { case: 'end', value: {} };

function message(length: number): FrameBody {
  return { case: 'message', value: Buffer.alloc(length) };
}

describe('ChaosProxy with a WebSocket', () => {
  it('passes every frame on when nothing is planned', async () => {
    answers = [HEAD, message(100_000), END];
    const client = await connected();
    open(client, ATTACH, 'one');
    open(client, WRITE, 'x'.repeat(70_000));
    await until(() => client.frames.length === 7, { what: 'all frames' });
    expect(client.frames).toEqual([
      'welcome',
      ...['head', 'message 100000', 'end', 'head', 'message 100000', 'end'],
    ]);
    expect(received).toEqual(['hello', 'one', 'x'.repeat(70_000)]);
    expect(proxy.counters).toMatchObject({ connections: 1, calls: 3, attaches: 1, cuts: 0 });
  });

  it('cuts a live stream inside of a frame and counts that', async () => {
    proxy.plan = { onResponseBytes: (call) => (call.isLiveStream ? 1_000 : undefined) };
    answers = [HEAD, message(10), message(50_000)];
    const client = await connected();
    open(client, ATTACH, 'one');
    await until(() => client.isClosed, { what: 'the cut' });
    expect(client.frames).toEqual(['welcome', 'head', 'message 10']);
    expect(proxy.counters).toMatchObject({
      ...{ cuts: 1, liveStreamCuts: 1, insideEnvelopeCuts: 1, serverToClientCuts: 1 },
      ...{ insideRequestCuts: 0, clientToServerCuts: 0, reconnectCuts: 0 },
    });
  });

  it('cuts a call inside of its opening frame, so that the server never sees it', async () => {
    proxy.plan = {
      onRequest: ({ method }) => (method === 'WriteX' ? { cutAfterBytes: 40 } : undefined),
    };
    const client = await connected();
    open(client, WRITE, 'x'.repeat(1_000));
    await until(() => client.isClosed, { what: 'the cut' });
    expect(received).toEqual(['hello']);
    expect(proxy.counters).toMatchObject({
      ...{ cuts: 1, insideRequestCuts: 1, clientToServerCuts: 1, serverToClientCuts: 0 },
    });
  });

  it('loses the answer of a call that was served', async () => {
    proxy.plan = {
      onResponse: ({ method }) => (method === 'WriteX' ? 'cut' : undefined),
    };
    answers = [END];
    const client = await connected();
    open(client, WRITE, 'applied');
    await until(() => client.isClosed, { what: 'the cut' });
    expect([received, client.frames]).toEqual([['hello', 'applied'], ['welcome']]);
    expect(proxy.counters).toMatchObject({ cuts: 1, serverToClientCuts: 1 });
  });

  it.each([
    { what: 'the request for a WebSocket', method: 'socket', at: 'request', seen: [] },
    { what: 'its answer', method: 'socket', at: 'answer', seen: [] },
    { what: 'what follows a hello', method: 'hello', at: 'request', seen: ['hello'] },
    { what: 'the welcome', method: 'hello', at: 'answer', seen: ['hello'] },
  ])('cuts $what', async ({ method, at, seen }) => {
    const isIt = (call: { readonly method: string }) => call.method === method;
    proxy.plan =
      at === 'request'
        ? { onRequest: (call) => (isIt(call) ? { cutAfterBytes: 100 } : undefined) }
        : { onResponse: (call) => (isIt(call) ? 'cut' : undefined) };
    const client = await connected();
    expect([client.isClosed, client.frames, received]).toEqual([true, [], seen]);
    const isHello = method === 'hello';
    expect(proxy.counters).toMatchObject({
      ...{ cuts: 1, helloCuts: isHello ? 1 : 0, handshakeCuts: isHello ? 0 : 1 },
    });
  });

  it('swallows answers, but no streams, and then cuts everything', async () => {
    const client = await connected();
    answers = [HEAD, message(10)];
    open(client, ATTACH, 'one');
    await until(() => client.frames.length === 3, { what: 'a live stream' });
    answers = [END];
    proxy.plan = { onRequest: () => ({ swallowThenCutAllMs: 50 }) };
    open(client, WRITE, 'applied');
    await until(() => client.isClosed, { what: 'the cut' });
    expect([received, client.frames]).toEqual([
      ['hello', 'one', 'applied'],
      ['welcome', 'head', 'message 10'],
    ]);
    expect(proxy.counters).toMatchObject({ cuts: 1, liveStreamCuts: 1 });
  });

  it('counts a cut of the WebSocket that follows a cut stream as one during a reconnect', async () => {
    answers = [HEAD, message(10)];
    const client = await connected();
    open(client, ATTACH, 'one');
    await until(() => client.frames.length === 3, { what: 'a live stream' });
    proxy.cutAll();
    proxy.plan = { onResponse: ({ method }) => (method === 'hello' ? 'cut' : undefined) };
    await connected();
    expect(proxy.counters).toMatchObject({ cuts: 2, liveStreamCuts: 1, reconnectCuts: 1 });
  });

  it('rewrites a request to attach', async () => {
    proxy.plan = { rewriteAttach: (body) => Buffer.concat([body, Buffer.from('-longer')]) };
    const client = await connected();
    open(client, ATTACH, 'one');
    await until(() => received.length === 2, { what: 'the request' });
    expect(received).toEqual(['hello', 'one-longer']);
  });
});
