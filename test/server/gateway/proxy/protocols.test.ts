import { Code, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ErrorReason } from '../../../../gen/computesdk/v1/error_pb.ts';
import { TerminalService } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { failure, read, reasonOf, withToken } from './calls.ts';
import {
  type FakeAgent,
  type Gateway,
  READ_ONLY_TOKEN,
  startGateway,
  startTerminalAgent,
} from './fixture.ts';

type Seen = { readonly path: string; readonly headers: Headers; aborted: boolean };

let agent: FakeAgent;
let gateway: Gateway;
let seen: Seen[];

beforeAll(async () => {
  seen = [];
  agent = await startTerminalAgent({
    createTerminal(request, context) {
      seen.push({ path: context.url, headers: context.requestHeader, aborted: false });
      if (request.name === 'fail') throw new ConnectError('no such shell', Code.FailedPrecondition);
      return { terminal: { id: 'trm', name: request.name } };
    },
    getTerminal: (request) => ({ terminal: { id: request.terminalId } }),
    async *attachTerminal(request, context) {
      const call = { path: context.url, headers: context.requestHeader, aborted: false };
      seen.push(call);
      context.signal.addEventListener('abort', () => {
        call.aborted = true;
      });
      yield { event: { case: 'ready', value: { incarnation: 'one' } } };
      for (let index = 0; index < 100; index += 1) {
        yield { event: { case: 'output', value: { data: new Uint8Array(3_000).fill(index) } } };
      }
      if (request.terminalId === 'fail') throw new ConnectError('gone', Code.DataLoss);
      if (request.terminalId === 'wait') await new Promise(() => {});
    },
    async writeTerminal(_request, context) {
      const call = { path: context.url, headers: context.requestHeader, aborted: false };
      seen.push(call);
      await new Promise<void>((resolve) => {
        context.signal.addEventListener('abort', () => {
          call.aborted = true;
          resolve();
        });
      });
      return {};
    },
  });
  gateway = await startGateway({ socketPath: agent.socketPath });
});

afterAll(async () => {
  await gateway.close();
  await agent.close();
});

/** Every way in that a client library takes. */
const ways: Array<[string, () => Transport]> = [
  [
    'Connect, HTTP/1.1',
    () => createConnectTransport({ baseUrl: gateway.sandboxUrl, httpVersion: '1.1' }),
  ],
  [
    'Connect, HTTP/2',
    () => createConnectTransport({ baseUrl: gateway.sandboxUrl, httpVersion: '2' }),
  ],
  [
    'Connect with JSON',
    () =>
      createConnectTransport({
        baseUrl: gateway.sandboxUrl,
        httpVersion: '1.1',
        useBinaryFormat: false,
      }),
  ],
  [
    'Connect by GET',
    () =>
      createConnectTransport({ baseUrl: gateway.sandboxUrl, httpVersion: '1.1', useHttpGet: true }),
  ],
  ['gRPC, HTTP/2', () => createGrpcTransport({ baseUrl: gateway.sandboxUrl })],
  [
    'gRPC, HTTP/1.1',
    () => createGrpcTransport({ baseUrl: gateway.sandboxUrl, httpVersion: '1.1' } as never),
  ],
  [
    'gRPC-web, HTTP/1.1',
    () => createGrpcWebTransport({ baseUrl: gateway.sandboxUrl, httpVersion: '1.1' }),
  ],
  [
    'gRPC-web, HTTP/2',
    () => createGrpcWebTransport({ baseUrl: gateway.sandboxUrl, httpVersion: '2' }),
  ],
];

describe.each(ways)('by %s', (_way, transport) => {
  const terminals = () => createClient(TerminalService, transport());

  it('passes a unary call and its answer', async () => {
    const { terminal } = await terminals().createTerminal({ name: 'mine' }, withToken());
    expect(terminal?.name).toBe('mine');
    expect((await terminals().getTerminal({ terminalId: 'x' }, withToken())).terminal?.id).toBe(
      'x',
    );
  });

  it("passes the agent's error", async () => {
    const error = await failure(terminals().createTerminal({ name: 'fail' }, withToken()));
    expect(error).toMatchObject({ code: Code.FailedPrecondition, rawMessage: 'no such shell' });
  });

  it('passes a stream to its end', async () => {
    const bytes = await read(terminals().attachTerminal({}, withToken()));
    expect(bytes).toBe(300_000);
  });

  it("passes a stream's error after its messages", async () => {
    const error = await failure(
      read(terminals().attachTerminal({ terminalId: 'fail' }, withToken())),
    );
    expect(error).toMatchObject({ code: Code.DataLoss, rawMessage: 'gone' });
  });

  it('refuses a missing credential, a missing scope and a foreign sandbox with typed errors', async () => {
    const none = await failure(terminals().createTerminal({}));
    expect([none.code, reasonOf(none)]).toEqual([
      Code.Unauthenticated,
      ErrorReason.UNAUTHENTICATED,
    ]);
    const readOnly = await failure(terminals().createTerminal({}, withToken(READ_ONLY_TOKEN)));
    expect(readOnly.code).toBe(Code.PermissionDenied);
    expect(readOnly.rawMessage).toContain('terminal:write');
    const stream = await failure(read(terminals().attachTerminal({})));
    expect(reasonOf(stream)).toBe(ErrorReason.UNAUTHENTICATED);
  });

  it('tells the agent that the client left', async () => {
    const leave = new AbortController();
    const call = terminals().writeTerminal({}, { ...withToken(), signal: leave.signal });
    const count = seen.length;
    void call.catch(() => {});
    await expect.poll(() => seen.length).toBeGreaterThan(count);
    leave.abort();
    await expect.poll(() => seen.at(-1)?.aborted).toBe(true);
    await expect.poll(() => gateway.calls.size).toBe(0);
  });

  it('tells the agent that the client left a stream', async () => {
    const leave = new AbortController();
    const stream = terminals().attachTerminal(
      { terminalId: 'wait' },
      { ...withToken(), signal: leave.signal },
    );
    const error = await failure(
      (async () => {
        for await (const { event } of stream) if (event.case === 'output') leave.abort();
      })(),
    );
    expect(error.code).toBe(Code.Canceled);
    await expect.poll(() => seen.at(-1)?.aborted).toBe(true);
    await expect.poll(() => gateway.calls.size).toBe(0);
  });
});
