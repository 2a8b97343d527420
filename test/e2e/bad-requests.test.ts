import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { compute, Sandbox } from '../../client/compute.ts';
import { newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { expectRefusal, postAs, postJson, sendRaw } from '../support/raw-http.ts';

/** Well-formed, and of nothing that exists. */
const NOBODY = '0'.repeat(26);

let gateway: TestGateway;
let pid: number;
let url: string;
let token: string;

beforeAll(async () => {
  gateway = await TestGateway.start();
  pid = gateway.pid;
  const created = await newSandbox(gateway);
  ({ url } = created.sandbox);
  token = created.token;
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

afterEach(async () => {
  expect(gateway.pid).toBe(pid);
  expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
});

it('calls a method that does not exist', async () => {
  for (const base of [gateway.url, url]) {
    for (const path of [
      'computesdk.v1.SandboxService/Nothing',
      'computesdk.v1.NoService/Get',
      'x/y',
      'computesdk.agent.v1.AgentService/Shutdown',
    ]) {
      const answer = await postAs(gateway.apiKey, `${base}/${path}`, {});
      // Connect's status for it is 501.
      expect([404, 501], path).toContain(answer.status);
      expect(answer.code, path).toMatch(/unimplemented|not_found/);
    }
  }
});

it('has a body that is no protobuf and no JSON', async () => {
  const garbage = new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
  const authorization = `Bearer ${gateway.apiKey}`;
  const targets = [
    `${gateway.url}/computesdk.v1.SandboxService/GetSandbox`,
    `${url}/computesdk.v1.TerminalService/GetTerminal`,
  ];
  for (const target of targets) {
    const binary = await postJson(target, garbage, {
      authorization,
      'content-type': 'application/proto',
    });
    expectRefusal(binary, [400, 'invalid_argument'], /\S/);
    for (const text of ['{', '[]', '{"sandboxId": 5}', '{"__proto__": {"x": 1}', '']) {
      const answer = await postJson(target, text, { authorization });
      expectRefusal(answer, [400, 'invalid_argument'], /\S/);
    }
    const stream = target.replace(/GetTerminal|GetSandbox/, 'AttachTerminal');
    const response = await fetch(stream, {
      method: 'POST',
      body: garbage,
      headers: { authorization, 'content-type': 'application/connect+proto' },
    });
    expect(response.status).toBeLessThan(500);
    await response.text();
  }
});

it('has no Host, or a bad one', async () => {
  const path = '/computesdk.v1.SandboxService/ListSandboxes';
  const rest = 'content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}';
  const hosts = [
    '',
    'host:\r\n',
    'host: [\r\n',
    'host: a b\r\n',
    'host: x:99999\r\n',
    'host: evil.example\r\n',
    'host: localhost\r\nhost: evil.example\r\n',
  ];
  for (const host of hosts) {
    const { status, text } = await sendRaw(gateway.port, `POST ${path} HTTP/1.1\r\n${host}${rest}`);
    expect([400, 421], host).toContain(status);
    expect(text.length, host).toBeGreaterThan(0);
  }
  const { status, text } = await sendRaw(
    gateway.port,
    `POST ${path} HTTP/1.1\r\nhost: evil.example\r\n${rest}`,
  );
  expect(status).toBe(421);
  expect(text).toContain('COMPUTESDK_ALLOWED_HOSTS');
});

it('has a target that no parser takes', async () => {
  for (const target of [
    '//',
    '*',
    'http://[',
    '/%',
    '/sandboxes//',
    '/\\',
    `/${'a'.repeat(20_000)}`,
  ]) {
    const { status } = await sendRaw(
      gateway.port,
      `POST ${target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
    );
    expect(status, target.slice(0, 20)).toBeGreaterThanOrEqual(400);
    expect(status, target.slice(0, 20)).toBeLessThan(500);
  }
});

it('goes where nothing listens', async () => {
  const port = await freePort();
  const gatewayUrl = `http://localhost:${port}`;
  const failure = compute({ apiKey: 'any', gatewayUrl }).sandbox.list({
    signal: AbortSignal.timeout(60_000),
  });
  await expect(failure).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining(`COMPUTESDK_GATEWAY_URL=${gatewayUrl}`),
  });
  const sandboxUrl = `${gatewayUrl}/sandboxes/sbx${NOBODY}`;
  await expect(Sandbox.connect({ url: sandboxUrl, token })).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining(String(port)),
  });
}, 60_000);

it('has an address that is none', async () => {
  await expect(Sandbox.connect({ url: 'nowhere', token })).rejects.toMatchObject({
    code: 'invalid_argument',
    field: 'url',
  });
  await expect(Sandbox.connect({ url: '', token })).rejects.toMatchObject({
    code: 'invalid_argument',
    field: 'url',
  });
  await expect(Sandbox.connect({ url, token: '' })).rejects.toMatchObject({
    code: 'invalid_argument',
    field: 'token',
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
