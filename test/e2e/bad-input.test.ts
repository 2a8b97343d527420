import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compute, Sandbox } from '../../client/compute.ts';
import { newSandbox, terminalClient } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { expectRefusal, postAs, postJson } from '../support/raw-http.ts';

/** Well-formed, and of nothing that exists. */
const NOBODY = '0'.repeat(26);

let gateway: TestGateway;
let pid: number;
let url: string;
let token: string;
let otherToken: string;
let terminalId: string;
let sandboxId: string;

beforeAll(async () => {
  gateway = await TestGateway.start();
  pid = gateway.pid;
  const first = await newSandbox(gateway);
  ({ url, id: sandboxId } = first.sandbox);
  token = first.token;
  otherToken = (await newSandbox(gateway)).token;
  const created = await terminalClient(url, token).createTerminal({ shell: '/bin/cat' });
  terminalId = created.terminal?.id ?? '';
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

afterEach(async () => {
  expect(gateway.pid).toBe(pid);
  expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
});

describe('an API call that is wrong', () => {
  const asBackend = (method: string, body: object) =>
    postAs(gateway.apiKey, `${gateway.url}/computesdk.v1.${method}`, body);

  it.for([
    ['SandboxService/GetSandbox', { sandboxId: `sbx${NOBODY}` }],
    ['SessionTokenService/CreateSessionToken', { sandboxId: `sbx${NOBODY}` }],
    ['SessionTokenService/ListSessionTokens', { sandboxId: `sbx${NOBODY}` }],
    ['SandboxService/ExtendSandboxTimeout', { sandboxId: `sbx${NOBODY}` }],
  ] as const)('names no sandbox that exists: %s', async ([method, body]) => {
    expectRefusal(await asBackend(method, body), [404, 'not_found'], /sandbox/i);
  });

  it('names no token that exists', async () => {
    const body = { sandboxId, sessionTokenId: `tok${NOBODY}` };
    expectRefusal(
      await asBackend('SessionTokenService/GetSessionToken', body),
      [404, 'not_found'],
      /token/i,
    );
    expectRefusal(
      await asBackend('SessionTokenService/RevokeSessionToken', body),
      [404, 'not_found'],
      /token/i,
    );
  });

  it.for([
    ['SandboxService/GetSandbox', { sandboxId: 'no id' }, /sandboxId/],
    ['SandboxService/GetSandbox', {}, /sandboxId/],
    ['SessionTokenService/GetSessionToken', { sessionTokenId: '../x' }, /sessionTokenId/],
    ['SandboxService/CreateSandbox', { timeout: '0s' }, /timeout/],
    ['SandboxService/CreateSandbox', { timeout: '2592001s' }, /timeout.*(30 days|2592000)/],
    ['SandboxService/CreateSandbox', { name: 'x'.repeat(129) }, /name.*128/],
    ['SandboxService/CreateSandbox', { metadata: { key: 'x'.repeat(1_025) } }, /metadata.*1,?024/],
    ['SandboxService/FindOrCreateSandbox', { name: '' }, /name/],
    ['SandboxService/ListSandboxes', { pageSize: 501 }, /pageSize.*500/],
    ['SandboxService/ListSandboxes', { pageToken: 'nonsense' }, /pageToken/],
  ] as const)(
    'has a field that is malformed or out of bounds: %s %j',
    async ([method, given, message]) => {
      const body = 'sessionTokenId' in given ? { ...given, sandboxId } : given;
      expectRefusal(await asBackend(method, body), [400, 'invalid_argument'], message);
    },
  );

  it.for([
    ['0s', /expiresIn/],
    ['-1s', /expiresIn/],
    ['2592001s', /expiresIn.*(30 days|2592000)/],
  ] as const)('asks for a token that lives %s', async ([expiresIn, message]) => {
    const body = { sandboxId, expiresIn };
    expectRefusal(
      await asBackend('SessionTokenService/CreateSessionToken', body),
      [400, 'invalid_argument'],
      message,
    );
  });

  it('carries a wrong API key, or none', async () => {
    const path = `${gateway.url}/computesdk.v1.SandboxService/ListSandboxes`;
    for (const key of ['wrong', `${gateway.apiKey}x`, '', 'x'.repeat(4_000)]) {
      expectRefusal(await postAs(key, path, {}), [401, 'unauthenticated'], /\S/);
    }
    expectRefusal(await postJson(path, {}), [401, 'unauthenticated'], /\S/);
    const failure = compute({ apiKey: 'wrong', gatewayUrl: gateway.url }).sandbox.list();
    await expect(failure).rejects.toMatchObject({ code: 'unauthenticated' });
  });
});

describe('a call to a sandbox that is wrong', () => {
  const asClient = (method: string, body: object, credential = token) =>
    postAs(credential, `${url}/computesdk.v1.TerminalService/${method}`, body);

  it('names no sandbox that exists, or is not allowed there', async () => {
    const elsewhere = `${gateway.url}/sandboxes/sbx${NOBODY}/computesdk.v1.TerminalService/ListTerminals`;
    const asStranger = await postAs(token, elsewhere, {});
    expect([403, 404]).toContain(asStranger.status);
    expectRefusal(await postAs(gateway.apiKey, elsewhere, {}), [404, 'not_found'], /sandbox/i);
    const foreign = await asClient('ListTerminals', {}, otherToken);
    expect([403, 404]).toContain(foreign.status);
    // Nobody can tell a sandbox of others from one that does not exist.
    expect(foreign.body).toEqual(asStranger.body);
    await expect(Sandbox.connect({ url, token: otherToken })).rejects.toMatchObject({
      code: expect.stringMatching(/permission_denied|not_found/),
    });
  });

  it('names a malformed sandbox', async () => {
    for (const name of ['x', '..', '%2e%2e', `sbx${NOBODY}0`, 'SBX', `sbx${NOBODY.slice(1)}%00`]) {
      const answer = await postAs(
        token,
        `${gateway.url}/sandboxes/${name}/computesdk.v1.TerminalService/ListTerminals`,
        {},
      );
      expect(answer.status, name).toBeGreaterThanOrEqual(400);
      expect(answer.status, name).not.toBe(500);
    }
  });

  it('names no terminal that exists, or a malformed one', async () => {
    for (const method of ['GetTerminal', 'WriteTerminal', 'ResizeTerminal', 'SignalTerminal']) {
      const rest = { cols: 80, rows: 24, signal: 'SIGTERM', data: '' };
      const fields = Object.fromEntries(
        Object.entries(rest).filter(([name]) => takes(method, name)),
      );
      expectRefusal(
        await asClient(method, { terminalId: `trm${NOBODY}`, ...fields }),
        [404, 'not_found'],
        /terminal/i,
      );
      expectRefusal(
        await asClient(method, { terminalId: 'x', ...fields }),
        [400, 'invalid_argument'],
        /terminalId/,
      );
    }
  });

  it.for([
    [{ shell: '/no/such/shell' }, 'failed_precondition', /\/no\/such\/shell/],
    [{ shell: 'no-such-shell' }, 'failed_precondition', /no-such-shell/],
    [{ cwd: '/no/such/directory' }, 'failed_precondition', /\/no\/such\/directory/],
    [{ cwd: 'relative' }, 'invalid_argument', /cwd/],
    [{ cols: 0 }, 'invalid_argument', /cols.*4,?096/],
    [{ cols: 70_000 }, 'invalid_argument', /cols.*4,?096/],
    [{ rows: 0 }, 'invalid_argument', /rows.*4,?096/],
    [{ rows: 4_097 }, 'invalid_argument', /rows.*4,?096/],
    [{ name: 'x'.repeat(129) }, 'invalid_argument', /name.*128/],
    [{ env: { 'a=b': 'x' } }, 'invalid_argument', /env/],
    [{ readerLease: '601s' }, 'invalid_argument', /readerLease.*(10 minutes|600)/],
    [{ requestId: 'x'.repeat(129) }, 'invalid_argument', /requestId.*128/],
    [{ args: Array.from({ length: 257 }, () => 'x') }, 'invalid_argument', /args.*256/],
  ] as const)('asks for a terminal that cannot be: %j', async ([body, code, message]) => {
    expectRefusal(await asClient('CreateTerminal', body), [400, code], message);
  });

  it('changes the size beyond its bounds, or sends no signal that there is', async () => {
    for (const [cols, rows, field] of [
      [0, 24, /cols/],
      [70_000, 24, /cols/],
      [80, 0, /rows/],
    ] as const) {
      expectRefusal(
        await asClient('ResizeTerminal', { terminalId, cols, rows }),
        [400, 'invalid_argument'],
        field,
      );
    }
    expectRefusal(
      await asClient('SignalTerminal', { terminalId, signal: 'SIGWHAT' }),
      [400, 'invalid_argument'],
      /signal/,
    );
  });

  it('writes 2 MiB at once', async () => {
    const answer = await asClient('WriteTerminal', { terminalId, data: 'A'.repeat(2 ** 21) });
    expect(answer.status).toBe(429);
    expect(answer.code).toBe('resource_exhausted');
    expect(answer.message).toMatch(/\d{5,}|KiB|MiB/);
    await using sandbox = await Sandbox.connect({ url, token });
    const terminal = await sandbox.terminal.retrieve(terminalId);
    const write = terminal.write(new Uint8Array(2 ** 21));
    await expect(write).rejects.toMatchObject({
      code: 'too_large',
      message: expect.stringMatching(/1 MiB|1,?048,?576/),
    });
  });

  it('writes more than a message may hold, in protobuf', async () => {
    const call = terminalClient(url, token).writeTerminal({
      terminalId,
      data: new Uint8Array(70_000),
    });
    await expect(call).rejects.toThrow(/data.*65,?536/);
  });
});

function takes(method: string, field: string): boolean {
  const fields: Readonly<Record<string, readonly string[]>> = {
    WriteTerminal: ['data'],
    ResizeTerminal: ['cols', 'rows'],
    SignalTerminal: ['signal'],
  };
  return fields[method]?.includes(field) ?? false;
}
