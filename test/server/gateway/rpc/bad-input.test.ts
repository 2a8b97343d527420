import { describe, expect, test } from 'vitest';
import { newId } from '../../../../server/core/id.ts';
import { API_KEY, NEVER, PLAIN_SANDBOX } from '../support/test-core.ts';
import { testFront } from '../support/test-front.ts';

const AUTHORIZED = { authorization: `Bearer ${API_KEY}` };
const SANDBOX = newId('sbx');
const TOKEN = newId('tok');
const LONG = 'x'.repeat(129);

/** Every answer to these is one specific code, with a message that names the field and the bound. */
const CASES: readonly [string, object, string, RegExp][] = [
  ['SandboxService/CreateSandbox', { name: LONG }, 'invalid_argument', /^name: .*at most 128/],
  [
    'SandboxService/CreateSandbox',
    { namespace: LONG },
    'invalid_argument',
    /^namespace: .*at most 128/,
  ],
  [
    'SandboxService/CreateSandbox',
    { requestId: LONG },
    'invalid_argument',
    /^requestId: .*at most 128/,
  ],
  [
    'SandboxService/CreateSandbox',
    { timeout: '0s' },
    'invalid_argument',
    /^timeout: .*1 second to 30 days/,
  ],
  [
    'SandboxService/CreateSandbox',
    { timeout: '-1s' },
    'invalid_argument',
    /^timeout: .*1 second to 30 days/,
  ],
  ['SandboxService/CreateSandbox', { timeout: '2592001s' }, 'invalid_argument', /^timeout: /],
  ['SandboxService/CreateSandbox', { timeout: 'soon' }, 'invalid_argument', /timeout|Duration/],
  [
    'SandboxService/CreateSandbox',
    { metadata: { k: 'v'.repeat(1025) } },
    'invalid_argument',
    /^metadata: .*1024/,
  ],
  [
    'SandboxService/CreateSandbox',
    { metadata: { [LONG]: 'v' } },
    'invalid_argument',
    /^metadata: .*128/,
  ],
  ['SandboxService/FindOrCreateSandbox', {}, 'invalid_argument', /^name: .*1 to 128/],
  [
    'SandboxService/FindSandbox',
    { name: 'a\u0007' },
    'invalid_argument',
    /^name: .*control characters/,
  ],
  [
    'SandboxService/GetSandbox',
    { sandboxId: 'sandbox-id' },
    'invalid_argument',
    /^sandboxId: must be `sbx`/,
  ],
  [
    'SandboxService/GetSandbox',
    { sandboxId: SANDBOX },
    'not_found',
    new RegExp(`no sandbox ${SANDBOX}`),
  ],
  ['SandboxService/GetSandbox', {}, 'invalid_argument', /^sandboxId: /],
  [
    'SandboxService/ListSandboxes',
    { pageSize: 501 },
    'invalid_argument',
    /^pageSize: must be 1 to 500/,
  ],
  ['SandboxService/ListSandboxes', { pageToken: 'x' }, 'invalid_argument', /^pageToken: /],
  ['SandboxService/DestroySandbox', { sandboxId: '../..' }, 'invalid_argument', /^sandboxId: /],
  ['SandboxService/ExtendSandboxTimeout', { sandboxId: SANDBOX }, 'not_found', /no sandbox/],
  ['SessionTokenService/CreateSessionToken', { sandboxId: SANDBOX }, 'not_found', /no sandbox/],
  [
    'SessionTokenService/CreateSessionToken',
    { sandboxId: 'x' },
    'invalid_argument',
    /^sandboxId: /,
  ],
  [
    'SessionTokenService/CreateSessionToken',
    { sandboxId: SANDBOX, expiresIn: '0s' },
    'invalid_argument',
    /^expiresIn: .*1 second to 30 days/,
  ],
  [
    'SessionTokenService/CreateSessionToken',
    { sandboxId: SANDBOX, expiresIn: '315576000000s' },
    'invalid_argument',
    /^expiresIn: /,
  ],
  [
    'SessionTokenService/CreateSessionToken',
    { sandboxId: SANDBOX, scopes: ['all'] },
    'invalid_argument',
    /^scopes: must be among command:run/,
  ],
  [
    'SessionTokenService/CreateSessionToken',
    { sandboxId: SANDBOX, description: 'a\nb' },
    'invalid_argument',
    /^description: .*control/,
  ],
  [
    'SessionTokenService/GetSessionToken',
    { sandboxId: SANDBOX, sessionTokenId: TOKEN },
    'not_found',
    /no sandbox/,
  ],
];

describe('bad input', () => {
  test.each(CASES)('%s with %j is %s', async (method, body, code, message) => {
    const { post } = await testFront();
    const { status, json } = await post(`/computesdk.v1.${method}`, body, AUTHORIZED);
    expect(json['code']).toBe(code);
    expect(json['message']).toMatch(message);
    expect(status).toBeLessThan(500);
  });

  test('of an unknown or malformed token names it', async () => {
    const { post, sandboxes, owner } = await testFront();
    const { id: sandboxId } = await sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
    for (const method of ['GetSessionToken', 'RevokeSessionToken']) {
      const path = `/computesdk.v1.SessionTokenService/${method}`;
      const unknown = await post(path, { sandboxId, sessionTokenId: TOKEN }, AUTHORIZED);
      expect(unknown).toMatchObject({
        status: 404,
        json: { message: expect.stringContaining(TOKEN) },
      });
      const malformed = await post(path, { sandboxId, sessionTokenId: 'token-id' }, AUTHORIZED);
      expect(malformed).toMatchObject({
        status: 400,
        json: { message: expect.stringMatching(/^sessionTokenId: /) },
      });
    }
  });

  test('that is no JSON and no protobuf is refused as such', async () => {
    const { url, post } = await testFront();
    const path = '/computesdk.v1.SandboxService/CreateSandbox';
    expect(await post(path, '{"name":', AUTHORIZED)).toMatchObject({
      status: 400,
      json: { code: 'invalid_argument' },
    });
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { ...AUTHORIZED, 'content-type': 'application/proto' },
      body: Uint8Array.from([0xff, 0xff, 0xff, 0xff]),
    });
    expect(response.status).toBe(400);
  });

  test('of more than 256 KiB is refused, whoever sends it', async () => {
    const { post } = await testFront();
    const path = '/computesdk.v1.SandboxService/CreateSandbox';
    const body = { name: 'x'.repeat(300 * 1024) };
    const refused = await post(path, body, AUTHORIZED);
    expect(refused.json['code']).toBe('resource_exhausted');
    expect((await post(path, body)).json['code']).toBe('unauthenticated');
  });
});

describe('an error', () => {
  test('carries the field and the reason for a program', async () => {
    const { post } = await testFront();
    const path = '/computesdk.v1.SandboxService/CreateSandbox';
    const { json } = await post(path, { timeout: '0s' }, AUTHORIZED);
    expect(json['details']).toEqual([
      expect.objectContaining({
        type: 'computesdk.v1.ErrorDetail',
        debug: { reason: 'ERROR_REASON_INVALID_ARGUMENT', field: 'timeout' },
      }),
    ]);
  });

  test('that nobody expected tells the caller nothing and the log everything', async () => {
    const { post, agents, lines } = await testFront();
    agents.nextFailure = new Error('EACCES /secret/path');
    const path = '/computesdk.v1.SandboxService/CreateSandbox';
    const { status, json } = await post(path, {}, AUTHORIZED);
    expect(status).toBe(500);
    expect(JSON.stringify(json)).not.toContain('secret');
    expect(lines.join('')).toContain('EACCES /secret/path');
  });
});

describe('the log', () => {
  test('has one line for each call, without a secret', async () => {
    const { post, lines, sandboxes, owner } = await testFront();
    const { id: sandboxId } = await sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
    lines.length = 0;
    const path = '/computesdk.v1.SessionTokenService/CreateSessionToken';
    const { json } = await post(path, { sandboxId, description: 'for Eve' }, AUTHORIZED);
    const text = String(json['token']);
    await post('/computesdk.v1.AuthService/WhoAmI', {}, { authorization: `Bearer ${text}` });
    await post(`/sandboxes/${sandboxId}/computesdk.v1.AuthService/WhoAmI`, {}, AUTHORIZED);
    await post(path, { sandboxId, expiresIn: '0s' }, AUTHORIZED);
    await post(path, {}, { authorization: `Bearer ${text}` });
    await post(path, {}, { authorization: 'Bearer wrong-secret' });
    const calls = lines.map((line): Record<string, unknown> => JSON.parse(line));
    const shown = calls.map(({ method, code, sandboxId: id }) => [
      String(method).split('/')[1],
      code,
      id,
    ]);
    expect(shown).toEqual([
      ['CreateSessionToken', 'ok', sandboxId],
      ['WhoAmI', 'ok', sandboxId],
      ['WhoAmI', 'ok', sandboxId],
      ['CreateSessionToken', 'INVALID_ARGUMENT', sandboxId],
      ['CreateSessionToken', 'PERMISSION_DENIED', undefined],
      ['CreateSessionToken', 'UNAUTHENTICATED', undefined],
    ]);
    expect(calls[0]).toMatchObject({ principal: 'key1', durationMs: expect.any(Number) });
    for (const secret of [text, API_KEY, 'wrong-secret', 'Eve'])
      expect(lines.join('')).not.toContain(secret);
  });
});

describe('the services', () => {
  test('speak JSON as the documentation shows it', async () => {
    const { post, url, clock } = await testFront();
    const created = await post(
      '/computesdk.v1.SandboxService/CreateSandbox',
      { name: 'ide', metadata: { a: 'b' }, timeout: '60s' },
      AUTHORIZED,
    );
    const sandbox = created.json['sandbox'];
    const iso = (ms: number) => new Date(ms).toISOString().replace('.000Z', 'Z');
    expect(sandbox).toEqual({
      id: expect.stringMatching(/^sbx/),
      url: expect.stringMatching(new RegExp(`^${url}/sandboxes/sbx`)),
      name: 'ide',
      namespace: 'default',
      status: 'SANDBOX_STATUS_RUNNING',
      metadata: { a: 'b' },
      createdAt: iso(clock.now()),
      expiresAt: iso(clock.now() + 60_000),
      driver: 'fake',
      previews: 'PREVIEW_VISIBILITY_PRIVATE',
      previewHost: 'PREVIEW_HOST_LOCALHOST',
    });
    const found = await post(
      '/computesdk.v1.SandboxService/FindSandbox',
      { name: 'ide' },
      AUTHORIZED,
    );
    expect(found.json['sandbox']).toEqual(sandbox);
    expect(
      (await post('/computesdk.v1.SandboxService/FindSandbox', { name: 'no' }, AUTHORIZED)).json,
    ).toEqual({});
    const list = await post('/computesdk.v1.SandboxService/ListSandboxes', {}, AUTHORIZED);
    expect(list.json).toEqual({ sandboxes: [sandbox] });
    const again = await post(
      '/computesdk.v1.SandboxService/FindOrCreateSandbox',
      { name: 'ide' },
      AUTHORIZED,
    );
    expect(again.json).toEqual({ sandbox });
  });

  test('say who an API key is', async () => {
    const { post } = await testFront();
    const { json } = await post('/computesdk.v1.AuthService/WhoAmI', {}, AUTHORIZED);
    expect(json).toEqual({ kind: 'PRINCIPAL_KIND_API_KEY', id: 'key1' });
  });

  test('revoke all tokens of a sandbox and show when', async () => {
    const { post, sandboxes, owner } = await testFront();
    const { id: sandboxId } = await sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
    const service = '/computesdk.v1.SessionTokenService';
    const { json } = await post(`${service}/CreateSessionToken`, { sandboxId }, AUTHORIZED);
    const all = await post(`${service}/RevokeAllSessionTokens`, { sandboxId }, AUTHORIZED);
    expect(all.json).toEqual({ revoked: 1 });
    expect((await post(`${service}/ListSessionTokens`, { sandboxId }, AUTHORIZED)).json).toEqual(
      {},
    );
    const record = json['sessionToken'];
    const sessionTokenId =
      typeof record === 'object' && record !== null && 'id' in record ? record.id : '';
    const got = await post(`${service}/GetSessionToken`, { sandboxId, sessionTokenId }, AUTHORIZED);
    expect(got.json['sessionToken']).toMatchObject({ revokedAt: expect.any(String) });
    const who = await post(
      '/computesdk.v1.AuthService/WhoAmI',
      {},
      { authorization: `Bearer ${json['token']}` },
    );
    expect(who).toMatchObject({ status: 401, json: { message: 'the session token was revoked' } });
  });
});
