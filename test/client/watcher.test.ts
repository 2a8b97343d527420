import { Code } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../client/sandbox.ts';
import type { Watcher } from '../../client/watcher.ts';
import { ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { WatcherChangeKind, WatcherEnd } from '../../gen/computesdk/v1/watcher_pb.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import { refusal } from './support/fake-terminal.ts';
import type { FakeWatcher } from './support/fake-watcher.ts';

const { ADD, UNLINK } = WatcherChangeKind;

let gateway: FakeGateway;
let sandbox: Sandbox;
let watcher: Watcher;
let files: FakeWatcher;

beforeEach(async () => {
  gateway = new FakeGateway();
  sandbox = await gateway.connect();
  watcher = await sandbox.watcher.create('/p', { includeContent: true });
  files = gateway.watchers.last;
});

afterEach(async () => {
  watcher.close();
  await sandbox.disconnect();
  await settle();
  expect(gateway.network.streams).toBe(0);
  expect(gateway.clock.pendingTimers).toBe(0);
});

/** Notes all that is told, in its order. */
function record(from: Watcher = watcher): string[] {
  const told: string[] = [];
  from.on('change', ({ event, path }) => told.push(`${event} ${path}`));
  from.on('ready', () => told.push('ready'));
  from.on('gap', (gap) => told.push(`gap ${gap.from}-${gap.to} ${gap.reason} ${gap.complete}`));
  from.on('error', ({ code, message }) => told.push(`error ${code} ${message}`));
  from.on('destroyed', ({ reason }) => told.push(`destroyed ${reason}`));
  return told;
}

const pass = (ms = 0) => gateway.clock.advance(ms);

describe('a watcher', () => {
  it('tells all listeners that come together what happened since it was created', async () => {
    files.change('/p/early', { kind: ADD });
    await pass(5_000);
    expect(files.attaches).toEqual([]);
    const one = record();
    const other = record();
    await pass();
    files.change('/p/late');
    await pass();
    expect(one).toEqual(['ready', 'add /p/early', 'change /p/late']);
    expect(other).toEqual(one);
    expect(files.attaches).toMatchObject([
      { watcherId: watcher.id, cursor: 0n, incarnation: 'life-1', lease: { seconds: 30n } },
    ]);
  });

  it('goes on after a cut from where it was, without losing or repeating anything', async () => {
    const told = record();
    files.change('/p/a', { kind: ADD });
    await pass();
    expect(gateway.network.cutStreams()).toBe(1);
    files.change('/p/a');
    files.change('/p/a', { kind: UNLINK });
    await pass(1_000);
    expect(told).toEqual(['ready', 'add /p/a', 'change /p/a', 'unlink /p/a']);
    expect(files.attaches[1]).toMatchObject({
      ...{ cursor: 1n, incarnation: 'life-1', readerId: 'rdr-new' },
    });
  });

  it('waits longer and longer where its stream breaks in the same content each time', async () => {
    files.cutBefore = 'content';
    files.cuts = 1_000;
    record();
    files.change('/p/a', { content: new Uint8Array(10), partBytes: 5 });
    await pass(20_000);
    expect(files.attaches.length).toBeGreaterThan(2);
    expect(files.attaches.length).toBeLessThan(15);
  });

  it('lives on through silence that is kept alive, and opens its stream anew after other silence', async () => {
    const told = record();
    await pass(60_000);
    expect(files.attaches).toHaveLength(1);
    gateway.network.isBlackHole = true;
    await pass(30_000);
    gateway.network.isBlackHole = false;
    await pass(60_000);
    files.change('/p/a');
    await pass();
    expect(told).toEqual(['ready', 'change /p/a']);
    expect(files.attaches.length).toBeGreaterThan(1);
  });

  it('closes when it is told to, and a later listener gets what happened meanwhile', async () => {
    const told = record();
    files.change('/p/a');
    await pass();
    watcher.close();
    watcher.close();
    await pass();
    expect(gateway.network.streams).toBe(0);
    files.change('/p/b');
    await pass(1_000);
    expect(told).toEqual(['ready', 'change /p/a']);
    watcher.on('change', ({ path }) => told.push(`late ${path}`));
    await pass();
    expect(told.slice(2)).toEqual(['change /p/b', 'late /p/b']);
  });

  it('tells a listener nothing that was taken off, once what listens once, and late that it is ready', async () => {
    const told: string[] = [];
    watcher.on('change', () => told.push('off at once'))();
    const listener = () => told.push('off by name');
    watcher.on('change', listener);
    watcher.off('change', listener);
    watcher.once('change', ({ path }) => told.push(`once ${path}`));
    files.change('/p/a');
    files.change('/p/b');
    await pass();
    watcher.on('ready', () => told.push('ready'));
    await settle();
    expect(told).toEqual(['once /p/a', 'ready']);
  });
});

describe('a gap', () => {
  it('is followed by the last change of each path, and says that this makes up for it', async () => {
    const told = record();
    files.change('/p/a', { kind: ADD });
    await pass();
    gateway.network.cutStreams();
    for (const path of ['/p/a', '/p/b', '/p/a', '/p/b']) files.change(path);
    files.change('/p/c', { kind: ADD });
    files.evict();
    await pass(1_000);
    expect(told.slice(2)).toEqual([
      ...['gap 1-3 slow_reader true', 'change /p/a', 'change /p/b', 'add /p/c'],
    ]);
    files.change('/p/c');
    gateway.network.cutStreams();
    await pass(1_000);
    expect(told.slice(6)).toEqual(['change /p/c']);
    expect(files.attaches.map(({ cursor }) => cursor)).toEqual([0n, 1n, 6n]);
  });

  it('says when deletions may be missing', async () => {
    files.change('/p/a');
    files.change('/p/a');
    files.evict();
    files.isIncomplete = true;
    const told = record();
    await pass();
    expect(told).toEqual(['ready', 'gap 0-1 slow_reader false', 'change /p/a']);
  });

  it('leaves nothing out when the connection breaks while it is made up for', async () => {
    for (const path of ['/p/a', '/p/a', '/p/b', '/p/b', '/p/c']) files.change(path);
    files.evict();
    files.cutBefore = 'change';
    const told = record();
    await pass();
    expect(files.attaches.map(({ cursor }) => cursor)).toEqual([0n, 1n]);
    const stop = watcher.on('change', () => {
      files.cutBefore = 'change';
      stop();
    });
    await pass(1_000);
    const changes = ['change /p/a', 'change /p/b', 'change /p/c'];
    expect(told.filter((line) => line.startsWith('change'))).toEqual(changes);
    expect(told.filter((line) => !changes.includes(line))).toEqual([
      ...['ready', 'gap 0-1 slow_reader true', 'gap 2-3 slow_reader true'],
    ]);
  });

  it('comes in the middle where the system dropped events', async () => {
    const told = record();
    files.change('/p/a');
    files.overflow();
    files.change('/p/b');
    await pass();
    expect(told).toEqual(['ready', 'change /p/a', 'gap 1-2 overflow true', 'change /p/b']);
  });
});

describe('an error', () => {
  it('is told with its code, and changes go on', async () => {
    const told = record();
    files.error(ErrorReason.LIMIT_REACHED, 'no inotify watch is left');
    files.change('/p/a');
    await pass();
    expect(told).toEqual(['ready', 'error limit_reached no inotify watch is left', 'change /p/a']);
  });

  it('needs no listener', async () => {
    const paths: string[] = [];
    watcher.on('change', ({ path }) => paths.push(path));
    files.error(ErrorReason.LIMIT_REACHED, 'nobody listens');
    files.change('/p/a');
    await pass();
    expect(paths).toEqual(['/p/a']);
  });

  it('tells that access ended, but not who disconnected', async () => {
    const told = record();
    await pass();
    const revoked = refusal(Code.Unauthenticated, ErrorReason.REVOKED);
    gateway.accessRefusal = revoked;
    files.fail(revoked);
    await pass();
    expect(told).toEqual(['ready', expect.stringContaining('error access_ended')]);

    gateway = new FakeGateway();
    sandbox = await gateway.connect();
    const later = record(await sandbox.watcher.create());
    await pass();
    await sandbox.disconnect();
    await pass();
    expect(later).toEqual(['ready']);
  });
});

describe('the end of a watcher', () => {
  it.each([
    [WatcherEnd.DESTROYED, 'destroyed'],
    [WatcherEnd.ABANDONED, 'abandoned'],
    [WatcherEnd.FAILED, 'failed'],
  ] as const)(
    'is told after the last change, once, and to late listeners: %s',
    async (end, reason) => {
      const told = record();
      await pass();
      files.change('/p/a');
      gateway.watchers.finish(files, end);
      await pass();
      expect(told).toEqual(['ready', 'change /p/a', `destroyed ${reason}`]);
      const late: string[] = [];
      watcher.on('destroyed', (info) => late.push(info.reason));
      await pass(60_000);
      expect(late).toEqual([reason]);
      expect(told).toHaveLength(3);
      expect(files.attaches).toHaveLength(1);
    },
  );

  it('is told by who destroys it, and by an end that came while it was cut', async () => {
    const told = record();
    await pass();
    await watcher.destroy();
    await pass();
    expect(told).toEqual(['ready', 'destroyed destroyed']);

    watcher = await sandbox.watcher.create();
    const later = record();
    await pass();
    gateway.network.isDown = true;
    gateway.network.cutStreams();
    await pass(1_000);
    gateway.watchers.finish(gateway.watchers.last, WatcherEnd.ABANDONED);
    gateway.network.isDown = false;
    await pass(60_000);
    expect(later).toEqual(['ready', 'destroyed destroyed']);
  });

  it.each(['attached', 'cut'])('is an error and an end when its process died: %s', async (how) => {
    const told = record();
    files.change('/p/a');
    await pass();
    if (how === 'cut') {
      gateway.network.isDown = true;
      gateway.network.cutStreams();
      await pass(1_000);
    }
    gateway.watchers.restart();
    gateway.network.isDown = false;
    await pass(60_000);
    const ends = ['error lost refused', 'destroyed lost'];
    expect(told).toEqual(['ready', 'change /p/a', ...ends]);
    const attaches = gateway.network.callsOf('StreamWatcher');
    watcher.on('destroyed', ({ reason }) => told.push(`late ${reason}`));
    watcher.on('error', () => told.push('a second error'));
    await pass(60_000);
    expect(told.slice(4)).toEqual(['late lost']);
    expect(gateway.network.callsOf('StreamWatcher')).toBe(attaches);
    await watcher.destroy();
  });
});
