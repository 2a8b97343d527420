import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compute, type SandboxCreateOptions } from '../../client/compute.ts';
import { PreviewHost } from '../../gen/computesdk/v1/sandbox_pb.ts';
import { MAX_PUBLIC_PORTS } from '../../server/gateway/sandbox/sandbox-options.ts';
import { newSandbox } from '../support/clients.ts';
import { PreviewStage, type SeenRequest } from '../support/preview-stage.ts';

const PUBLIC_PORT = 3000;
const PRIVATE_PORT = 3001;

let stage: PreviewStage;

beforeAll(async () => {
  stage = await PreviewStage.open(
    {},
    { publicPorts: [PUBLIC_PORT], previewHost: PreviewHost.PRESERVED },
  );
  await stage.serve([PUBLIC_PORT, PRIVATE_PORT]);
}, 60_000);
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
}, 60_000);

const managed = () => compute({ apiKey: stage.gateway.apiKey, gatewayUrl: stage.gateway.url });

describe('a port that is public beside others', () => {
  it('is shown to whoever knows its address, and no other is', async () => {
    const open = await stage.ask(PUBLIC_PORT, { cookie: '' });
    expect(open.status).toBe(200);
    const upgrade = await stage.upgrade(PUBLIC_PORT, { cookie: '' });
    expect(upgrade.status).toBe(101);
    expect((await stage.ask(PRIVATE_PORT, { cookie: '' })).status).toBe(401);
    expect((await stage.upgrade(PRIVATE_PORT, { cookie: '' })).status).toBe(401);
    expect((await stage.ask(PRIVATE_PORT)).status).toBe(200);
  });

  it('has a lasting address, and others one that opens once', async () => {
    expect(await stage.url(PUBLIC_PORT)).toBe(`http://${stage.host(PUBLIC_PORT)}/`);
    expect(await stage.url(PRIVATE_PORT)).toContain('?');
    const sandbox = await managed().sandbox.getById(stage.sandboxId);
    expect(sandbox.previews).toEqual({ [PUBLIC_PORT]: 'public' });
  });
});

describe('a host that is preserved', () => {
  it('is what the program gets, with the origin, over HTTP and WebSocket', async () => {
    const origin = `http://${stage.host(PRIVATE_PORT)}`;
    const echo = await stage.ask(PRIVATE_PORT, { headers: { origin } });
    // Who serves the port wrote it.
    expect(ownHeaders(echo.json() as SeenRequest)).toEqual({
      host: stage.host(PRIVATE_PORT),
      origin,
      'x-forwarded-host': stage.host(PRIVATE_PORT),
    });
    const path = '/socket?preserved';
    await stage.upgrade(PRIVATE_PORT, { path, headers: { origin } });
    const seen = (await stage.seen(PRIVATE_PORT)).find(({ url }) => url === path);
    expect(seen && ownHeaders(seen)).toEqual({
      host: stage.host(PRIVATE_PORT),
      origin,
      'x-forwarded-host': stage.host(PRIVATE_PORT),
    });
  });

  it('is never one that the client made up', async () => {
    const forged = { 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example' };
    const echo = await stage.ask(PUBLIC_PORT, { cookie: '', headers: forged });
    expect(echo.text).not.toContain('evil.example');
    const host = stage.host(PUBLIC_PORT).replace(/:\d+$/, ':1');
    const other = await stage.ask(PUBLIC_PORT, { cookie: '', host });
    expect(ownHeaders(other.json() as SeenRequest)['host']).toBe(stage.host(PUBLIC_PORT));
  });
});

describe('the settings', () => {
  it('outlive a restart of the gateway, and are found again', async () => {
    const options = {
      previews: { 80: 'public', 81: 'private' },
      previewHost: 'preserved',
    } as const;
    const { sandbox } = managed();
    const created = await sandbox.findOrCreate({ name: 'kept', ...options });
    const plain = await sandbox.create();
    expect([plain.previews, plain.previewHost]).toEqual(['private', 'localhost']);
    await plain.destroy();
    await stage.gateway.kill('SIGTERM');
    await stage.gateway.restart();
    const found = await managed().sandbox.find({ name: 'kept' });
    expect([found?.id, found?.previews, found?.previewHost]).toEqual([
      created.id,
      { 80: 'public' },
      'preserved',
    ]);
    expect((await stage.ask(80, { host: stage.host(80, created.id), cookie: '' })).status).toBe(
      502,
    );
    expect((await stage.ask(81, { host: stage.host(81, created.id), cookie: '' })).status).toBe(
      401,
    );
    await found?.destroy();
  });

  const many = Object.fromEntries(
    Array.from({ length: MAX_PUBLIC_PORTS + 1 }, (_, index) => [index + 1, 'public']),
  );
  it.each([
    ['previews', { previews: 'everyone' }],
    ['previews', { previews: { 0: 'public' } }],
    ['previews', { previews: { 65536: 'public' } }],
    ['previews', { previews: { '3000.5': 'public' } }],
    ['previews', { previews: { 3000: 'yes' } }],
    ['previews', { previews: ['public'] }],
    ['previewHost', { previewHost: 'mine' }],
    ['publicPorts', { previews: many }],
  ])('%s: %o is refused', async (field, options) => {
    // As untyped callers may.
    const given = options as SandboxCreateOptions;
    await expect(managed().sandbox.create(given)).rejects.toMatchObject({
      ...{ code: 'invalid_argument', field },
    });
  });

  it('are checked by the gateway too', async () => {
    for (const publicPorts of [[0], [65_536], [3000, 4_294_967_295]]) {
      const created = newSandbox(stage.gateway, { publicPorts });
      await expect(created).rejects.toThrow(/publicPorts: must be a whole number from 1 to 65535/);
    }
  });
});

/** What a program got of these, each once. */
function ownHeaders({ rawHeaders }: SeenRequest): Record<string, string | undefined> {
  const found: Record<string, string | undefined> = {};
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? '';
    if (!['host', 'origin', 'x-forwarded-host'].includes(name)) continue;
    expect(found).not.toHaveProperty(name);
    found[name] = rawHeaders[index + 1];
  }
  return found;
}
