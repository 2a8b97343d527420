import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import { Sandbox, type SandboxError, type Terminal } from '../../client/index.ts';
import { TestGateway } from '../support/gateway.ts';
import { TRANSPORTS } from '../support/transports.ts';
import { until } from '../support/until.ts';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await TestGateway.start();
  compute.setConfig({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
});

afterAll(async () => {
  compute.setConfig({});
  await gateway[Symbol.asyncDispose]();
});

/** Collects what a terminal shows. */
function screen(terminal: Terminal): { text: string } {
  const shown = { text: '' };
  terminal.on('output', (data) => {
    shown.text += data;
  });
  return shown;
}

describe.for(TRANSPORTS)('the quick start, %s', (transport) => {
  it('gives a front end a shell with a token, and takes it away again', async () => {
    const owned = await compute.sandbox.create();
    const session = await owned.sessionToken.create({
      description: 'User session',
      expiresIn: 86400,
    });
    const sandbox = await Sandbox.connect({ url: owned.url, token: session.token, transport });
    const terminal = await sandbox.terminal.create({ pty: true });
    const shown = screen(terminal);
    const errors: string[] = [];
    terminal.on('error', ({ code }) => errors.push(code));
    await until(() => /[$#] $/.test(shown.text), { what: 'the first prompt' });
    void terminal.write('echo $((40 + 2))\n');
    await until(() => shown.text.includes('42\r\n'), { what: 'the answer' });

    const tokens = await owned.sessionToken.list();
    expect(tokens.map(({ id, description }) => [id, description])).toEqual([
      [session.id, 'User session'],
    ]);
    expect(session.expiresAt.getTime() - session.createdAt.getTime()).toBe(86_400_000);
    expect(await owned.sessionToken.retrieve(session.id)).toMatchObject({ id: session.id });

    await owned.sessionToken.revoke(session.id);
    await until(() => errors.length > 0, { what: 'the end of access' });
    expect(errors).toEqual(['access_ended']);
    expect(sandbox.connection).toEqual({ state: 'closed', reason: 'revoked' });
    const again = Sandbox.connect({ url: owned.url, token: session.token, transport });
    await expect(again).rejects.toMatchObject({ code: 'revoked' });
    await owned.destroy();
  });

  it('tells the exit code after the last byte', async () => {
    const owned = await compute.sandbox.create();
    const terminal = await owned.terminal.create({
      pty: false,
      shell: '/bin/sh',
      args: ['-c', 'seq 1 20000; exit 7'],
    });
    const shown = screen(terminal);
    const exit = await new Promise((resolve) => terminal.on('exit', resolve));
    expect(exit).toEqual({ exitCode: 7, signal: undefined });
    expect(shown.text.endsWith('19999\n20000\n')).toBe(true);
    await owned.destroy();
  });

  it('shares a terminal between two clients, both of which may type', async () => {
    const owned = await compute.sandbox.create();
    const first = await owned.terminal.create({ shell: '/bin/cat' });
    const one = screen(first);
    const { token } = await owned.sessionToken.create();
    const sandbox = await Sandbox.connect({ url: owned.url, token, transport });
    const second = await sandbox.terminal.retrieve(first.id);
    const two = screen(second);
    await first.write('from the first\n');
    await second.write('from the second\n');
    for (const shown of [one, two]) {
      await until(() => shown.text.split('from the second').length === 3, { what: 'both lines' });
      expect(shown.text.split('from the first')).toHaveLength(3);
    }
    await first.resize(100, 30);
    await until(() => second.cols === 100, { what: 'the new size at the other client' });
    await second.kill('SIGKILL');
    await until(() => first.status === 'exited', { what: 'the end' });
    expect([first.exitCode, first.signal]).toEqual([undefined, 'SIGKILL']);
    await sandbox.disconnect();
    await owned.destroy();
  });

  it('finds one sandbox by name for any number of callers, and extends its life', async () => {
    const named = { name: 'workspace', namespace: 'user-1', timeoutMs: 60_000 };
    const found = await Promise.all(
      Array.from({ length: 8 }, () => compute.sandbox.findOrCreate(named)),
    );
    expect(new Set(found.map(({ id }) => id)).size).toBe(1);
    const sandbox = await compute.sandbox.find({ name: 'workspace', namespace: 'user-1' });
    if (!sandbox) throw new Error('not found');
    expect(await compute.sandbox.find({ name: 'workspace' })).toBeNull();
    const before = sandbox.expiresAt.getTime();
    await sandbox.extendTimeout({ durationMs: 3_600_000 });
    expect(sandbox.expiresAt.getTime()).toBeGreaterThan(before + 3_000_000);
    const listed = await compute.sandbox.list({ namespace: 'user-1', pageSize: 1 });
    expect(listed.map(({ id }) => id)).toEqual([sandbox.id]);
    await sandbox.destroy();
    await expect(compute.sandbox.getById(sandbox.id)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('bad input', () => {
  it('is refused with a code and the name of what is wrong', async () => {
    const owned = await compute.sandbox.create();
    const other = await compute.sandbox.create();
    const { token } = await other.sessionToken.create();
    const refusals: [string, Promise<unknown>][] = [
      ['invalid_argument expiresIn', owned.sessionToken.create({ expiresIn: 0 })],
      ['invalid_argument expiresIn', owned.sessionToken.create({ expiresIn: -1 })],
      ['invalid_argument expiresIn', owned.sessionToken.create({ expiresIn: Number.NaN })],
      ['invalid_argument expiresIn', owned.sessionToken.create({ expiresIn: Infinity })],
      ['invalid_argument expiresIn', owned.sessionToken.create({ expiresIn: 2 ** 63 })],
      ['invalid_argument expiresIn', owned.sessionToken.create({ expiresIn: 31 * 86_400 })],
      ['invalid_argument timeoutMs', compute.sandbox.create({ timeoutMs: 31 * 86_400_000 })],
      ['invalid_argument timeoutMs', compute.sandbox.create({ timeoutMs: 0 })],
      ['invalid_argument cols', owned.terminal.create({ cols: 0 })],
      ['invalid_argument cols', owned.terminal.create({ cols: 70_000 })],
      ['invalid_argument rows', owned.terminal.create({ rows: 1.5 })],
      ['spawn_failed shell', owned.terminal.create({ shell: '/no/such/shell' })],
      ['spawn_failed cwd', owned.terminal.create({ cwd: '/no/such/directory' })],
      ['invalid_argument terminalId', owned.terminal.retrieve('terminal')],
      ...[undefined, ...TRANSPORTS].flatMap((transport): [string, Promise<unknown>][] => [
        ['permission_denied', Sandbox.connect({ url: owned.url, token, transport })],
        ['unauthenticated', Sandbox.connect({ url: owned.url, token: 'wrong', transport })],
        [
          'unreachable',
          Sandbox.connect({ url: 'http://127.0.0.1:59999/', token: 'any', transport }),
        ],
      ]),
      [
        'unauthenticated apiKey',
        compute({ apiKey: 'wrong', gatewayUrl: gateway.url }).sandbox.list(),
      ],
      [
        'unreachable gatewayUrl',
        compute({ apiKey: 'any', gatewayUrl: 'http://127.0.0.1:59999/' }).sandbox.list(),
      ],
    ];
    const seen = await Promise.all(refusals.map(([, refusal]) => refusal.then(() => '', explain)));
    expect(seen).toEqual(refusals.map(([expected]) => expected));
    await Promise.all([owned.destroy(), other.destroy()]);
  });
});

function explain(error: SandboxError): string {
  return error.field === undefined ? error.code : `${error.code} ${error.field}`;
}
