import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compute, type ManagedSandbox } from '../../client/compute.ts';
import { newId } from '../../server/core/id.ts';
import { gatewayClients, newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { PreviewStage } from '../support/preview-stage.ts';
import { timeBound } from '../support/time-bound.ts';
import { until, within } from '../support/until.ts';

const PORT = 3000;
const OTHER_PORT = 3001;
/** DESIGN: from when Revoke returned. */
const END_WITHIN_MS = 100;

let stage: PreviewStage;

beforeAll(async () => {
  stage = await PreviewStage.open();
  await stage.serve([PORT, OTHER_PORT]);
}, 60_000);
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
}, 60_000);

const bare = (path: string, port = PORT) => stage.ask(port, { path, cookie: '' });

describe('the address of a preview', () => {
  it('lets a browser in once, and leads to the address without the ticket', async () => {
    const path = `${(await stage.ticketPath(PORT)).replace('/?', '/echo?a=1&')}&b=2`;
    const answer = await bare(path);
    expect(answer.status).toBe(303);
    expect(answer.message.headers.location).toBe(`http://${stage.host(PORT)}/echo?a=1&b=2`);
    expect(answer.message.headers['cache-control']).toBe('no-store');
    const cookies = answer.message.headers['set-cookie'] ?? [];
    expect(cookies).toEqual([
      expect.stringMatching(
        /^__Host-computesdk-preview=[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; Secure; SameSite=Lax$/,
      ),
      expect.stringMatching(
        /^__Host-computesdk-preview-framed=[\w-]{43}; .*HttpOnly; Secure; SameSite=None; Partitioned$/,
      ),
    ]);
    const again = await bare(path);
    expect(again.status).toBe(403);
    expect(again.text).toContain('This address has been used');
    // Whoever is in already is led on.
    expect((await stage.ask(PORT, { path })).status).toBe(303);
    expect((await stage.seen(PORT)).some(({ url }) => url.includes('ticket'))).toBe(false);
  });

  it('opens no other port, and no other sandbox', async () => {
    const path = await stage.ticketPath(PORT);
    expect((await bare(path, OTHER_PORT)).status).toBe(403);
    const { sandbox } = await newSandbox(stage.gateway);
    const host = stage.host(PORT, sandbox.id);
    expect((await stage.ask(PORT, { path, cookie: '', host })).status).toBe(403);
    const cookie = await stage.enter(PORT);
    expect((await stage.ask(OTHER_PORT, { cookie })).status).toBe(401);
    expect((await stage.ask(PORT, { cookie, host })).status).toBe(401);
    expect((await bare(path)).status).toBe(303);
  });

  it('is not used up by who only looks at it', async () => {
    const path = await stage.ticketPath(PORT);
    const look = (ask: object) => stage.ask(PORT, { path, cookie: '', ...ask });
    expect((await look({ method: 'HEAD' })).status).toBe(401);
    expect((await look({ method: 'POST' })).status).toBe(401);
    expect((await look({ headers: { 'sec-purpose': 'prefetch' } })).status).toBe(401);
    expect((await look({ headers: { 'sec-fetch-mode': 'cors' } })).status).toBe(401);
    expect((await stage.upgrade(PORT, { path, cookie: '' })).status).toBe(401);
    const framed = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' };
    const answer = await look({ headers: framed });
    expect(answer.status).toBe(303);
    expect(answer.message.headers['set-cookie']).toEqual([
      expect.stringMatching(/^__Host-computesdk-preview-framed=.*; SameSite=None; Partitioned$/),
    ]);
  });

  it('leads nowhere else, whatever its path is', async () => {
    const [, ticket = ''] = (await stage.ticketPath(PORT)).split('?');
    const answer = await bare(`//evil.example/%0d%0aX:1?${ticket}`);
    expect(answer.message.headers.location).toBe(
      `http://${stage.host(PORT)}//evil.example/%0d%0aX:1`,
    );
  });
});

describe('without a ticket or a cookie', () => {
  it('a page says that the preview is private, and nothing reaches the program', async () => {
    const before = (await stage.seen(PORT)).length;
    const guess = `__Host-computesdk-preview=${'A'.repeat(43)}`;
    for (const cookie of ['', guess, '__Host-computesdk-preview=', `${guess}; ${guess}`]) {
      const answer = await stage.ask(PORT, { cookie });
      expect(answer.status).toBe(401);
      expect(answer.text).toContain('This preview is private');
      expect((await stage.upgrade(PORT, { cookie })).status).toBe(401);
    }
    const bearer = { authorization: `Bearer ${stage.token}` };
    expect((await stage.ask(PORT, { cookie: '', headers: bearer })).status).toBe(401);
    expect((await stage.seen(PORT)).length).toBe(before);
  });

  it('a sandbox that does not exist looks the same', async () => {
    const there = await stage.ask(PORT, { cookie: '' });
    const host = stage.host(PORT, newId('sbx'));
    const not = await stage.ask(PORT, { cookie: '', host });
    expect([not.status, not.text]).toEqual([there.status, there.text]);
  });

  it('a true cookie beside others of its name still opens', async () => {
    const noise = `__Host-computesdk-preview=${'B'.repeat(43)}`;
    const cookie = `${noise}; ${await stage.cookie(PORT)}; ${noise}`;
    expect((await stage.ask(PORT, { cookie })).status).toBe(200);
  });
});

describe('the API', () => {
  it('is never served at the host of a preview', async () => {
    const headers = { authorization: `Bearer ${stage.gateway.apiKey}` };
    for (const path of [
      '/computesdk.v1.AuthService/WhoAmI',
      `/sandboxes/${stage.sandboxId}/computesdk.v1.AuthService/WhoAmI`,
      '/healthz',
      '/workspace',
      '/magic/x',
      '/.well-known/jwks.json',
    ]) {
      expect((await bare(path)).status).toBe(401);
      const answer = await stage.ask(PORT, { path, headers });
      expect(answer.json()).toMatchObject({ method: 'GET', url: path });
    }
    const upgrade = await stage.upgrade(PORT, { path: `/sandboxes/${stage.sandboxId}/socket` });
    expect(upgrade.text).not.toContain('computesdk');
    upgrade.socket.destroy();
  });

  it('has no previews at its own host', async () => {
    const host = `localhost:${stage.gateway.port}`;
    expect((await stage.ask(PORT, { host, path: '/echo' })).status).toBe(404);
  });
});

describe('other previews', () => {
  it('may not use the access to this one', async () => {
    const origin = (sandboxId: string) => `http://${stage.host(OTHER_PORT, sandboxId)}`;
    const foreign = { origin: origin(newId('sbx')) };
    expect((await stage.ask(PORT, { headers: foreign })).status).toBe(403);
    expect((await stage.upgrade(PORT, { headers: foreign })).status).toBe(403);
    const own = await stage.ask(PORT, { headers: { origin: origin(stage.sandboxId) } });
    expect(own.status).toBe(200);
  });
});

describe('when access ends', () => {
  async function live(token: string) {
    const cookie = await stage.enter(PORT, token);
    const answer = await stage.begin(PORT, { path: '/hang', cookie });
    const answerClosed = new Promise<void>((resolve) => {
      answer.on('error', () => {});
      answer.on('close', resolve);
      answer.resume();
    });
    const upgrade = await stage.upgrade(PORT, { cookie });
    expect(upgrade.status).toBe(101);
    const ended = Promise.all([
      answerClosed,
      until(() => upgrade.isClosed, { what: 'the WebSocket' }),
    ]);
    return { cookie, ended, upgrade };
  }

  it('a revoked token ends what runs, and what is to come', async () => {
    const { tokens } = gatewayClients(stage.gateway);
    const { token, sessionToken } = await tokens.createSessionToken({ sandboxId: stage.sandboxId });
    const { cookie, ended, upgrade } = await live(token);
    const waiting = await stage.ticketPath(PORT, token);
    await tokens.revokeSessionToken({
      sandboxId: stage.sandboxId,
      sessionTokenId: sessionToken?.id ?? '',
    });
    const revokedAt = performance.now();
    await within(ended, { what: 'the ends', withinMs: 5_000 });
    const tookMs = performance.now() - revokedAt;
    expect(tookMs).toBeLessThan(await timeBound(END_WITHIN_MS));
    expect(upgrade.hasEnded).toBe(false);
    expect((await stage.ask(PORT, { cookie })).status).toBe(401);
    expect((await stage.upgrade(PORT, { cookie })).status).toBe(401);
    expect((await stage.ask(PORT, { path: waiting, cookie: '' })).status).toBe(403);
    expect((await stage.ask(PORT, {})).status).toBe(200);
  });

  it('an expired token does the same', async () => {
    const { tokens } = gatewayClients(stage.gateway);
    const { token } = await tokens.createSessionToken({
      sandboxId: stage.sandboxId,
      expiresIn: { seconds: 2n, nanos: 0 },
    });
    const { cookie, ended } = await live(token);
    await within(ended, { what: 'the ends', withinMs: 10_000 });
    expect((await stage.ask(PORT, { cookie })).status).toBe(401);
  });

  it('a preview survives a gateway that is killed', async () => {
    const cookie = await stage.enter(OTHER_PORT);
    await stage.gateway.kill('SIGKILL');
    await stage.gateway.restart();
    expect((await stage.ask(OTHER_PORT, { cookie })).status).toBe(200);
  });
});

describe('the SDK', () => {
  const managed = (options: object): Promise<ManagedSandbox> =>
    compute({ apiKey: stage.gateway.apiKey, gatewayUrl: stage.gateway.url }).sandbox.create(
      options,
    );

  it('gives addresses of previews', async () => {
    const first = await stage.sandbox.getUrl({ port: PORT });
    expect(first).toMatch(
      /^http:\/\/3000-sbx\w{26}\.localhost:\d+\/\?computesdk_ticket=[\w-]{43}$/,
    );
    expect(await stage.sandbox.getUrl({ port: PORT })).not.toBe(first);
    for (const port of [0, 65_536, 1.5, Number.NaN]) {
      await expect(stage.sandbox.getUrl({ port })).rejects.toMatchObject({
        code: 'invalid_argument',
      });
    }
    await using sandbox = await managed({});
    expect(sandbox.previews).toBe('private');
    expect(await sandbox.getUrl({ port: 80 })).toContain(`//80-${sandbox.id}.localhost`);
    await sandbox.destroy();
  });

  it('gives lasting ones of a sandbox whose previews are public, which need no cookie', async () => {
    await using sandbox = await managed({ previews: 'public' });
    expect(sandbox.previews).toBe('public');
    const url = await sandbox.getUrl({ port: PORT });
    expect(url).toBe(`http://${stage.host(PORT, sandbox.id)}/`);
    const host = stage.host(PORT, sandbox.id);
    const answer = await stage.ask(PORT, { host, cookie: '' });
    expect(answer.text).toContain('Nothing is listening on 3000 yet');
    await sandbox.destroy();
    expect((await stage.ask(PORT, { host, cookie: '' })).status).toBe(401);
  });

  it('says that a token lacks the scope', async () => {
    const { tokens } = gatewayClients(stage.gateway);
    const scopes = ['terminal:read'];
    const { token } = await tokens.createSessionToken({ sandboxId: stage.sandboxId, scopes });
    await expect(stage.url(PORT, token)).rejects.toThrow(/lacks the scope preview:read/);
  });
});

describe('a cleartext domain that is not localhost', () => {
  it('has no previews, and the reason is said', async () => {
    await using gateway = await TestGateway.start({
      env: { COMPUTESDK_PREVIEW_DOMAIN: 'preview.test' },
    });
    expect(gateway.output).toContain('previews need TLS');
    const { sandbox } = compute({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
    await using created = await sandbox.create({ previews: 'public' });
    await expect(created.getUrl({ port: PORT })).rejects.toMatchObject({
      code: 'failed_precondition',
      message: expect.stringContaining('previews need TLS'),
    });
    const page = await rawGet(gateway.port, `3000-${created.id}.preview.test`);
    expect(page).toMatch(/^HTTP\/1\.1 403 /);
    expect(page).toContain('previews need TLS');
  });
});

describe('a driver that gives no isolation', () => {
  it('has no previews', async () => {
    await using gateway = await TestGateway.start({ env: { COMPUTESDK_DRIVER: 'process' } });
    const { sandbox } = compute({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
    await using created = await sandbox.create({ previews: 'public' });
    await expect(created.getUrl({ port: PORT })).rejects.toMatchObject({
      code: 'failed_precondition',
      message: expect.stringContaining('a driver that isolates'),
    });
    const page = await rawGet(gateway.port, `${gateway.port}-${created.id}.localhost`);
    expect(page).toMatch(/^HTTP\/1\.1 403 /);
    expect(page).toContain('a driver that isolates');
  });
});

function rawGet(port: number, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      answer += chunk;
    });
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
    socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  });
}
