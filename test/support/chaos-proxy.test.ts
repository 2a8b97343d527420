import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ChaosProxy } from './chaos-proxy.ts';
import { until } from './until.ts';

const PATH = '/computesdk.v1.TerminalService/AttachTerminal';

let server: Server;
let proxy: ChaosProxy;
/** How the server answers the next calls. */
let answers: Array<(body: Buffer) => Array<Buffer | 'wait'>>;
let requests: string[];

beforeEach(async () => {
  answers = [];
  requests = [];
  server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk) => chunks.push(chunk));
    incoming.on('end', () => {
      requests.push(Buffer.concat(chunks).toString('latin1'));
      const isStream = incoming.url === PATH;
      response.setHeader(
        'content-type',
        isStream ? 'application/connect+proto' : 'application/proto',
      );
      for (const part of answers.shift()?.(Buffer.concat(chunks)) ?? []) {
        if (part === 'wait') return;
        response.write(part);
      }
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy = await ChaosProxy.open({ port: (server.address() as AddressInfo).port });
});

afterEach(async () => {
  await proxy.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

describe('ChaosProxy', () => {
  it('passes everything on when nothing is planned', async () => {
    answers.push((body) => [envelope(body), envelope(Buffer.alloc(300_000, 7))]);
    const { body, error } = await post(Buffer.from('hello'));
    expect(error).toBeUndefined();
    expect(body.length).toBe(5 + 5 + 5 + 300_000);
    expect(proxy.counters).toMatchObject({ calls: 1, attaches: 1, cuts: 0 });
  });

  it('cuts a live stream at the byte it was told, inside an envelope, and counts that', async () => {
    let left = 5 + 1 + 5 + 10;
    proxy.plan = {
      onResponseBytes: (call, length) => {
        if (!call.isStream) return undefined;
        left -= length;
        return left < 0 ? length + left : undefined;
      },
    };
    answers.push(() => [envelope(Buffer.alloc(1)), envelope(Buffer.alloc(100)), 'wait']);
    const { error } = await post(Buffer.from('x'));
    expect(error).toBeDefined();
    expect(proxy.counters).toMatchObject({
      cuts: 1,
      liveStreamCuts: 1,
      insideEnvelopeCuts: 1,
      serverToClientCuts: 1,
      clientToServerCuts: 0,
      reconnectCuts: 0,
      resets: 1,
    });
  });

  it('cuts a request on its way, so that the server never sees it', async () => {
    proxy.plan = { onRequest: () => ({ cutAfterBytes: 40 }) };
    const { error } = await post(Buffer.alloc(2_000));
    expect(error).toBeDefined();
    expect(requests).toEqual([]);
    expect(proxy.counters).toMatchObject({ cuts: 1, clientToServerCuts: 1, serverToClientCuts: 0 });
  });

  it('loses an answer whose request was served', async () => {
    proxy.plan = { onResponse: () => 'cut' };
    answers.push(() => [envelope(Buffer.alloc(1))]);
    const { error } = await post(Buffer.from('applied'));
    expect(error).toBeDefined();
    expect(requests).toEqual(['applied']);
    expect(proxy.counters).toMatchObject({ cuts: 1, serverToClientCuts: 1, liveStreamCuts: 0 });
  });

  it('counts a cut of the stream that follows a cut stream as one during a reconnect', async () => {
    answers.push(() => [envelope(Buffer.alloc(1)), 'wait']);
    const first = post(Buffer.from('x'));
    await until(() => proxy.openConnections[0]?.calls[0]?.isLiveStream, { what: 'a live stream' });
    proxy.cutAll();
    expect((await first).error).toBeDefined();
    proxy.plan = { onResponse: () => 'cut' };
    answers.push(() => [envelope(Buffer.alloc(1))]);
    await post(Buffer.from('x'));
    expect(proxy.counters).toMatchObject({ cuts: 2, liveStreamCuts: 1, reconnectCuts: 1 });
  });

  it('swallows answers and then cuts everything', async () => {
    proxy.plan = { onRequest: () => ({ swallowThenCutAllMs: 50 }) };
    answers.push(
      () => [],
      () => [],
    );
    const results = await Promise.all([
      post(Buffer.from('a'), '/WriteX'),
      post(Buffer.from('b'), '/WriteX'),
    ]);
    expect(results.map((result) => result.error !== undefined)).toEqual([true, true]);
    expect(requests.sort()).toEqual(['a', 'b']);
    expect(proxy.counters.cuts).toBe(1);
  });

  it('holds one direction without closing anything, and lets it pass on release', async () => {
    answers.push(() => [envelope(Buffer.from('late'))]);
    proxy.hold('to-client');
    let isDone = false;
    const answer = post(Buffer.from('x')).then((result) => {
      isDone = true;
      return result;
    });
    await until(() => requests.length === 1, { what: 'the request to arrive' });
    expect(isDone).toBe(false);
    proxy.release();
    expect((await answer).body.toString('latin1')).toContain('late');
  });

  it('leaves no socket open that it resets while it is ending it', async () => {
    const openSockets = () =>
      process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
    await until(() => openSockets() === 0, { what: 'the sockets of other tests to be closed' });
    // A cut after each of the first steps that a released end takes meets it under way.
    for (let steps = 0; steps < 20; steps++) {
      proxy.hold('to-server');
      const client = connect({ port: proxy.port, host: '127.0.0.1' });
      client.on('error', () => {}).resume();
      client.end();
      await until(() => proxy.openConnections.length === 1, { what: 'the connection' });
      proxy.release();
      for (let step = 0; step < steps; step++) await Promise.resolve();
      proxy.cutAll();
      client.destroy();
    }
    await until(() => openSockets() === 0, { what: 'all sockets to be closed' });
  });

  it('rewrites an attach request with its length', async () => {
    proxy.plan = { rewriteAttach: (body) => Buffer.concat([body, Buffer.from('-longer')]) };
    answers.push((body) => [envelope(body)]);
    const { body } = await post(Buffer.from('x'));
    expect(body.subarray(5).toString()).toBe('x-longer');
  });
});

function envelope(data: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(data.length, 1);
  return Buffer.concat([prefix, data]);
}

type Outcome = { readonly body: Buffer; readonly error: Error | undefined };

function post(body: Buffer, path = PATH): Promise<Outcome> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const finish = (error?: Error) => resolve({ body: Buffer.concat(chunks), error });
    const outgoing = request({
      port: proxy.port,
      host: '127.0.0.1',
      path,
      method: 'POST',
      agent: false,
    });
    outgoing.setHeader('content-length', body.length);
    outgoing.setHeader('connection', 'keep-alive');
    outgoing.on('error', finish);
    outgoing.on('response', (incoming: IncomingMessage) => {
      incoming.on('data', (chunk) => chunks.push(chunk));
      incoming.on('end', () => finish());
      incoming.on('error', finish);
    });
    outgoing.end(body);
  });
}
