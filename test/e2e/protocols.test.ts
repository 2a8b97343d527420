import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Client, Code, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SandboxService } from '../../gen/computesdk/v1/sandbox_service_pb.ts';
import { TerminalService } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { bearer, newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { nodePath, repositoryRoot } from '../support/paths.ts';

const run = promisify(execFile);
const SAYING = 'printf hello; exit 7';

let gateway: TestGateway;
let url: string;
let token: string;

beforeAll(async () => {
  gateway = await TestGateway.start();
  const created = await newSandbox(gateway);
  ({ url } = created.sandbox);
  token = created.token;
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

type Make = (baseUrl: string, credential: string) => Transport;

const transports: Record<string, Make> = {
  'Connect over HTTP/1.1': (baseUrl, key) =>
    createConnectTransport({ baseUrl, httpVersion: '1.1', interceptors: [bearer(key)] }),
  'Connect over HTTP/2': (baseUrl, key) =>
    createConnectTransport({ baseUrl, httpVersion: '2', interceptors: [bearer(key)] }),
  'Connect in JSON': (baseUrl, key) =>
    createConnectTransport({
      baseUrl,
      httpVersion: '1.1',
      useBinaryFormat: false,
      interceptors: [bearer(key)],
    }),
  'Connect with GET': (baseUrl, key) =>
    createConnectTransport({
      baseUrl,
      httpVersion: '1.1',
      useHttpGet: true,
      interceptors: [bearer(key)],
    }),
  gRPC: (baseUrl, key) => createGrpcTransport({ baseUrl, interceptors: [bearer(key)] }),
  'gRPC in JSON': (baseUrl, key) =>
    createGrpcTransport({ baseUrl, useBinaryFormat: false, interceptors: [bearer(key)] }),
  'gRPC-web over HTTP/1.1': (baseUrl, key) =>
    createGrpcWebTransport({ baseUrl, httpVersion: '1.1', interceptors: [bearer(key)] }),
  'gRPC-web over HTTP/2': (baseUrl, key) =>
    createGrpcWebTransport({ baseUrl, httpVersion: '2', interceptors: [bearer(key)] }),
};

describe.each(Object.entries(transports))('a client that speaks %s', (_name, make) => {
  it('calls the gateway', async () => {
    const client = createClient(SandboxService, make(gateway.url, gateway.apiKey));
    const { sandbox } = await client.createSandbox({ name: '' });
    const sandboxId = sandbox?.id ?? '';
    expect((await client.getSandbox({ sandboxId })).sandbox?.id).toBe(sandboxId);
    expect((await client.listSandboxes({})).sandboxes.map(({ id }) => id)).toContain(sandboxId);
    await client.destroySandbox({ sandboxId });
    await expect(client.getSandbox({ sandboxId })).rejects.toMatchObject({ code: Code.NotFound });
  });

  it('reads a terminal of the sandbox to its exit', async () => {
    const client = createClient(TerminalService, make(url, token));
    const { terminal } = await client.createTerminal({
      shell: '/bin/sh',
      args: ['-c', SAYING],
      pty: false,
    });
    expect(await readToExit(client, terminal?.id ?? '')).toEqual({ text: 'hello', exitCode: 7 });
    expect((await client.getTerminal({ terminalId: terminal?.id ?? '' })).terminal?.exitCode).toBe(
      7,
    );
  });

  it('gets errors with their code and detail, and ends a stream by its signal', async () => {
    const client = createClient(TerminalService, make(url, token));
    const refusal = client.createTerminal({ cols: 70_000 });
    await expect(refusal).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringContaining('cols'),
    });
    const stranger = createClient(TerminalService, make(url, 'no token'));
    await expect(stranger.listTerminals({})).rejects.toMatchObject({ code: Code.Unauthenticated });
    await expect(readToExit(stranger, 'trm')).rejects.toMatchObject({ code: Code.Unauthenticated });
    const { terminal } = await client.createTerminal({ shell: '/bin/cat' });
    const stop = new AbortController();
    const events: string[] = [];
    const reading = (async () => {
      const request = { terminalId: terminal?.id ?? '' };
      for await (const { event } of client.attachTerminal(request, { signal: stop.signal })) {
        events.push(event.case ?? '');
        stop.abort();
      }
    })();
    await expect(reading).rejects.toSatisfy(
      (error) => ConnectError.from(error).code === Code.Canceled,
    );
    expect(events).toEqual(['ready']);
    await client.destroyTerminal({ terminalId: terminal?.id ?? '' });
  });
});

describe('buf curl', () => {
  it('lists the methods without a schema', async () => {
    const stdout = await bufCurl(['--list-methods', gateway.url]);
    const methods = stdout.trim().split('\n');
    expect(methods).toContain('computesdk.v1.SandboxService/CreateSandbox');
    expect(methods).toContain('computesdk.v1.TerminalService/AttachTerminal');
    expect(methods).toContain('grpc.health.v1.Health/Check');
    expect(stdout).not.toContain('computesdk.agent');
  }, 30_000);

  it.each(['connect', 'grpc', 'grpcweb'])(
    'creates a sandbox and attaches to a terminal, with %s',
    async (protocol) => {
      const authorized = ['--protocol', protocol, '-H', `Authorization: Bearer ${gateway.apiKey}`];
      const service = `${gateway.url}/computesdk.v1.SandboxService`;
      const { sandbox } = JSON.parse(
        await bufCurl([
          ...authorized,
          '-d',
          '{"metadata": {"made": "by buf"}}',
          `${service}/CreateSandbox`,
        ]),
      );
      expect(sandbox).toMatchObject({
        status: 'SANDBOX_STATUS_RUNNING',
        metadata: { made: 'by buf' },
      });
      const terminals = `${sandbox.url}/computesdk.v1.TerminalService`;
      const request = JSON.stringify({ shell: '/bin/sh', args: ['-c', SAYING], pty: false });
      const { terminal } = JSON.parse(
        await bufCurl([...authorized, '-d', request, `${terminals}/CreateTerminal`]),
      );
      const stream = await bufCurl([
        ...authorized,
        '-d',
        JSON.stringify({ terminalId: terminal.id }),
        `${terminals}/AttachTerminal`,
      ]);
      expect(stream).toContain(Buffer.from('hello').toString('base64'));
      expect(stream).toMatch(/"exitCode": ?7/);
      await bufCurl([
        ...authorized,
        '-d',
        JSON.stringify({ sandboxId: sandbox.id }),
        `${service}/DestroySandbox`,
      ]);
    },
    60_000,
  );
});

describe('plain curl with JSON', () => {
  it('creates a sandbox and a terminal, types and looks', async () => {
    const { sandbox } = await curl(`${gateway.url}/computesdk.v1.SandboxService/CreateSandbox`, {});
    const base = `${sandbox.url}/computesdk.v1.TerminalService`;
    const { terminal } = await curl(`${base}/CreateTerminal`, { shell: '/bin/sh', pty: false });
    const data = Buffer.from('exit 5\n').toString('base64');
    expect(await curl(`${base}/WriteTerminal`, { terminalId: terminal.id, data })).toEqual({});
    await expect
      .poll(
        async () =>
          (await curl(`${base}/GetTerminal`, { terminalId: terminal.id })).terminal.exitCode,
      )
      .toBe(5);
    expect(
      await curl(`${gateway.url}/computesdk.v1.SandboxService/DestroySandbox`, {
        sandboxId: sandbox.id,
      }),
    ).toEqual({});
  }, 30_000);
});

async function readToExit(client: Client<typeof TerminalService>, terminalId: string) {
  let text = '';
  let exitCode: number | undefined;
  for await (const { event } of client.attachTerminal({ terminalId })) {
    if (event.case === 'output') text += Buffer.from(event.value.data).toString();
    if (event.case === 'exited') exitCode = event.value.exitCode;
  }
  return { text, exitCode };
}

async function bufCurl(args: string[]): Promise<string> {
  const buf = join(repositoryRoot, 'node_modules', '@bufbuild', 'buf', 'bin', 'buf');
  const { stdout } = await run(nodePath, [buf, 'curl', '--http2-prior-knowledge', ...args]);
  return stdout;
}

/** What the tests look at, as far as the method gives it. */
type CurlAnswer = {
  readonly sandbox: { readonly id: string; readonly url: string };
  readonly terminal: { readonly id: string; readonly exitCode?: number };
};

async function curl(url: string, body: object): Promise<CurlAnswer> {
  const headers = [
    ...['-H', `Authorization: Bearer ${gateway.apiKey}`],
    ...['-H', 'Content-Type: application/json'],
  ];
  const { stdout } = await run('curl', ['-sS', ...headers, '-d', JSON.stringify(body), url]);
  return JSON.parse(stdout) as CurlAnswer; // A wrong shape fails the test that looks at it.
}
