import { Code, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuthService } from '../../../../gen/computesdk/v1/auth_service_pb.ts';
import { ErrorReason } from '../../../../gen/computesdk/v1/error_pb.ts';
import { TerminalService } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { newId } from '../../../../server/core/id.ts';
import { principalFromHeaders } from '../../../../server/rpc/principal-headers.ts';
import { failure, reasonOf, withToken } from './calls.ts';
import {
  API_KEY,
  type FakeAgent,
  type Gateway,
  SANDBOX_ID,
  startGateway,
  startTerminalAgent,
  TOKEN,
  TOKEN_ID,
} from './fixture.ts';

type Seen = { readonly path: string; readonly headers: Headers };

let agent: FakeAgent;
let gateway: Gateway;
let seen: Seen[];

beforeAll(async () => {
  seen = [];
  agent = await startTerminalAgent({
    createTerminal(_request, context) {
      seen.push({ path: context.url, headers: context.requestHeader });
      return {};
    },
    async *attachTerminal() {
      yield { event: { case: 'ready', value: {} } };
    },
  });
  gateway = await startGateway({ socketPath: agent.socketPath });
});

afterAll(async () => {
  await gateway.close();
  await agent.close();
});

describe('the sandbox proxy', () => {
  const clientAt = (url: string) =>
    createClient(TerminalService, createConnectTransport({ baseUrl: url, httpVersion: '1.1' }));

  it('lets no credential, cookie or unknown header in, and says who calls', async () => {
    await fetch(
      `${gateway.sandboxUrl}/computesdk.v1.TerminalService/CreateTerminal?code=${TOKEN}`,
      {
        method: 'POST',
        headers: {
          ...withToken().headers,
          'content-type': 'application/json',
          cookie: `session=${TOKEN}`,
          'x-computesdk-principal': 'forged',
          'x-computesdk-scopes': 'everything',
          'x-computesdk-subjects': 'everybody',
          'x-forwarded-for': '1.2.3.4',
          'proxy-authorization': `Bearer ${TOKEN}`,
          'x-api-key': API_KEY,
          'connect-protocol-version': '1',
        },
        body: '{}',
      },
    );
    const call = seen.at(-1);
    expect(principalFromHeaders(call?.headers ?? new Headers())).toEqual({
      id: TOKEN_ID,
      subject: 'subject',
      subjects: ['subject', 'earlier'],
      scopes: ['terminal:read', 'terminal:write'],
    });
    const names = [...(call?.headers.keys() ?? [])].sort();
    expect(names).toEqual([
      'accept',
      'connect-accept-encoding',
      'connect-protocol-version',
      'connection',
      'content-length',
      'content-type',
      'grpc-accept-encoding',
      'host',
      'user-agent',
      'x-computesdk-principal',
      'x-computesdk-scopes',
      'x-computesdk-subject',
      'x-computesdk-subjects',
    ]);
    const everything = JSON.stringify([call?.path, [...(call?.headers ?? [])]]);
    expect(everything).not.toContain(TOKEN);
    expect(everything).not.toContain(API_KEY);
  });

  it('lets an API key in, but not from a page', async () => {
    const url = `${gateway.sandboxUrl}/computesdk.v1.TerminalService/CreateTerminal`;
    const init = (headers: Record<string, string>) => ({
      method: 'POST',
      headers: {
        authorization: `Bearer ${API_KEY}`,
        'content-type': 'application/json',
        ...headers,
      },
      body: '{}',
    });
    expect((await fetch(url, init({}))).status).toBe(200);
    const fromPage = await fetch(url, init({ origin: 'http://localhost:5173' }));
    expect(fromPage.status).toBe(403);
    expect(await fromPage.text()).toContain('must not be used in a browser');
  });

  it('serves WhoAmI itself, and tells it which sandbox was meant', async () => {
    const transport = createConnectTransport({ baseUrl: gateway.sandboxUrl, httpVersion: '1.1' });
    const auth = createClient(AuthService, transport);
    expect((await auth.whoAmI({}, withToken())).sandboxId).toBe(SANDBOX_ID);
    expect((await failure(auth.whoAmI({}))).code).toBe(Code.Unauthenticated);
  });

  it('tells a malformed id, an unknown sandbox and a foreign one apart only where it may', async () => {
    const malformed = await failure(
      clientAt(`${gateway.url}/sandboxes/sbx1`).listTerminals({}, withToken()),
    );
    expect(malformed.code).toBe(Code.InvalidArgument);
    expect(malformed.rawMessage).toContain('sandboxId');
    const other = `${gateway.url}/sandboxes/${newId('sbx')}`;
    expect((await failure(clientAt(other).listTerminals({}, withToken()))).code).toBe(
      Code.PermissionDenied,
    );
    expect((await failure(clientAt(other).listTerminals({}, withToken(API_KEY)))).code).toBe(
      Code.NotFound,
    );
  });

  it.each([
    [
      'an unknown method',
      'TerminalService/Explode',
      {},
      501,
      'computesdk.v1.TerminalService/Explode',
    ],
    [
      "a method of the gateway's root",
      'SandboxService/CreateSandbox',
      {},
      501,
      'services of a sandbox',
    ],
    ['a wrong HTTP method', 'TerminalService/CreateTerminal', { method: 'PUT' }, 405, 'POST'],
    [
      'a foreign media type',
      'TerminalService/CreateTerminal',
      { headers: { 'content-type': 'text/html' } },
      415,
      'application/json',
    ],
    [
      'plain JSON for a stream',
      'TerminalService/AttachTerminal',
      {},
      415,
      'application/connect+json',
    ],
    [
      'a GET of what changes something',
      'TerminalService/CreateTerminal',
      { method: 'GET', body: null },
      405,
      'POST',
    ],
    [
      'a body that is not JSON',
      'TerminalService/CreateTerminal',
      { body: '{' },
      400,
      'invalid_argument',
    ],
    [
      'a body above the limit',
      'TerminalService/CreateTerminal',
      { body: `{"name":"${'x'.repeat(300_000)}"}` },
      429,
      '262144',
    ],
  ])('answers %s clearly', async (_what, path, init, status, message) => {
    const answer = await fetch(`${gateway.sandboxUrl}/computesdk.v1.${path}`, {
      method: 'POST',
      body: '{}',
      ...init,
      headers: {
        'content-type': 'application/json',
        ...withToken().headers,
        ...('headers' in init && init.headers),
      },
    });
    expect(answer.status).toBe(status);
    expect(await answer.text()).toContain(message);
  });

  it('answers what is no call at all with a plain 404', async () => {
    const answer = await fetch(`${gateway.sandboxUrl}/index.html`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([404, 'application/json']);
  });

  it('says that the agent is away', async () => {
    const away = await startGateway({ socketPath: '/nowhere/agent.sock' });
    const error = await failure(clientAt(away.sandboxUrl).listTerminals({}, withToken()));
    expect([error.code, reasonOf(error)]).toEqual([
      Code.Unavailable,
      ErrorReason.AGENT_UNAVAILABLE,
    ]);
    await away.close();
  });

  it('marks streams so that proxies neither keep nor gather them', async () => {
    const answer = await fetch(
      `${gateway.sandboxUrl}/computesdk.v1.TerminalService/AttachTerminal`,
      {
        method: 'POST',
        headers: { ...withToken().headers, 'content-type': 'application/connect+json' },
        body: Buffer.from('\0\0\0\0\x02{}', 'latin1'),
      },
    );
    expect(answer.headers.get('x-accel-buffering')).toBe('no');
    expect(answer.headers.get('cache-control')).toBe('no-store, no-transform');
    expect(answer.headers.get('content-length')).toBe(null);
    await answer.arrayBuffer();
  });
});
