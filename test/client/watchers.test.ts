import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../client/sandbox.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';

let gateway: FakeGateway;
let sandbox: Sandbox;

beforeEach(async () => {
  gateway = new FakeGateway();
  sandbox = await gateway.connect();
});

afterEach(async () => {
  await sandbox.disconnect();
  await settle();
  expect(gateway.clock.pendingTimers).toBe(0);
});

describe('the watchers of a sandbox', () => {
  it('create one watcher, once although every answer is lost at first', async () => {
    let failures = 3;
    gateway.network.unaryFate = (method) => {
      if (method !== 'CreateWatcher' || failures === 0) return 'pass';
      failures -= 1;
      return 'lose_response';
    };
    const creation = sandbox.watcher.create();
    await gateway.clock.advance(10_000);
    const watcher = await creation;
    expect([...gateway.watchers.live.keys()]).toEqual([watcher.id]);
    expect(gateway.network.callsOf('CreateWatcher')).toBe(4);
  });

  it('ask for what the caller wants, else for the project without content', async () => {
    await sandbox.watcher.create();
    const { last } = gateway.watchers;
    expect(last.request).toMatchObject({
      ...{ path: '/project', ignored: [], gitignore: false, includeContent: false },
      lease: { seconds: 30n },
    });
    expect(last.request.maxContentBytes).toBeUndefined();
    const watcher = await sandbox.watcher.create('/project/src', {
      ...{ ignored: ['node_modules', '*.log'], gitignore: true, includeContent: true },
      maxContentBytes: 1_000,
    });
    const wanted = { path: '/project/src', ignored: ['node_modules', '*.log'] };
    expect(gateway.watchers.last.request).toMatchObject({
      ...{ ...wanted, gitignore: true, includeContent: true, maxContentBytes: 1_000 },
    });
    expect(watcher).toMatchObject({ id: 'wat2', ...wanted, includeContent: true });
  });

  it('refuse a limit that is no number of bytes, before they ask', async () => {
    for (const maxContentBytes of [-1, 1.5, Number.NaN, 2 ** 32])
      await expect(sandbox.watcher.create('/', { maxContentBytes })).rejects.toMatchObject({
        ...{ code: 'invalid_argument', field: 'maxContentBytes' },
      });
    expect(gateway.network.callsOf('CreateWatcher')).toBe(0);
  });

  it('list themselves, the oldest first', async () => {
    const first = await sandbox.watcher.create('/project/a', { ignored: ['b'] });
    const second = await sandbox.watcher.create('/project/b', { includeContent: true });
    const listed = await sandbox.watcher.list();
    const shown = listed.map(({ id, path, ignored, includeContent }) => [
      ...[id, path, ignored, includeContent],
    ]);
    expect(shown).toEqual([
      [first.id, '/project/a', ['b'], false],
      [second.id, '/project/b', [], true],
    ]);
  });

  it('retrieve one, whose listeners get what happens from then on', async () => {
    const { id } = await sandbox.watcher.create();
    gateway.watchers.last.change('/project/before');
    const watcher = await sandbox.watcher.retrieve(id);
    gateway.watchers.last.change('/project/after');
    const paths: string[] = [];
    watcher.on('change', ({ path }) => paths.push(path));
    await gateway.clock.advance(0);
    expect(paths).toEqual(['/project/after']);
    watcher.close();
  });

  it('say of one that is gone whether it has ended, was lost, or never was', async () => {
    const ended = await sandbox.watcher.create();
    await ended.destroy();
    const lost = await sandbox.watcher.create();
    gateway.watchers.restart();
    const codes = [ended.id, lost.id, 'wat9'].map((id) =>
      sandbox.watcher.retrieve(id).catch(({ code }) => code),
    );
    expect(await Promise.all(codes)).toEqual(['destroyed', 'lost', 'not_found']);
    expect(sandbox.connection.state).toBe('connected');
  });

  it('destroy one as often as they are asked to', async () => {
    const watcher = await sandbox.watcher.create();
    await sandbox.watcher.destroy(watcher.id);
    await sandbox.watcher.destroy(watcher.id);
    await watcher.destroy();
    expect(await sandbox.watcher.list()).toEqual([]);
  });

  it('stop a call at once when its signal fires', async () => {
    const watcher = await sandbox.watcher.create();
    gateway.network.unaryFate = () => 'black_hole';
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [
      sandbox.watcher.create('/project', { signal }),
      sandbox.watcher.list({ signal }),
      sandbox.watcher.retrieve(watcher.id, { signal }),
      sandbox.watcher.destroy(watcher.id, { signal }),
      watcher.destroy({ signal }),
    ].map((call) => call.catch(({ code }) => code));
    await settle();
    controller.abort();
    expect(await Promise.all(calls)).toEqual(calls.map(() => 'canceled'));
  });
});
