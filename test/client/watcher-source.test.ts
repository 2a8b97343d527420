import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../client/sandbox.ts';
import type { Watcher } from '../../client/watcher.ts';
import type { WatcherChange } from '../../client/watcher-events.ts';
import { ContentOmission, WatcherChangeKind } from '../../gen/computesdk/v1/watcher_pb.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import type { FakeWatcher } from './support/fake-watcher.ts';

const { ADD, ADD_DIR, UNLINK, UNLINK_DIR } = WatcherChangeKind;

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

const pass = (ms = 0) => gateway.clock.advance(ms);

describe('a change', () => {
  /** What is told of the changes so far. */
  async function changes(): Promise<WatcherChange[]> {
    const told: WatcherChange[] = [];
    watcher.on('change', (change) => told.push(change));
    await pass();
    return told;
  }

  it('carries what happened, with size and time where there are some', async () => {
    const mtimeMs = 1_700_000_000_123;
    files.change('/p/d', { kind: ADD_DIR, mtimeMs });
    files.change('/p/d/f', { kind: ADD, size: 7, mtimeMs });
    files.change('/p/d/f', { size: 2 ** 40, mtimeMs });
    files.change('/p/d/f', { kind: UNLINK });
    files.change('/p/d', { kind: UNLINK_DIR });
    const mtime = new Date(mtimeMs);
    expect(await changes()).toEqual([
      { event: 'addDir', path: '/p/d', size: 0, mtime },
      { event: 'add', path: '/p/d/f', size: 7, mtime },
      { event: 'change', path: '/p/d/f', size: 2 ** 40, mtime },
      { event: 'unlink', path: '/p/d/f', size: 0, mtime: undefined },
      { event: 'unlinkDir', path: '/p/d', size: 0, mtime: undefined },
    ]);
  });

  it('carries its content as text and as bytes, of one message or of many, also an empty one', async () => {
    const text = `\uFEFFgrüße 👋 ${'x'.repeat(50)}`;
    const bytes = new TextEncoder().encode(text);
    files.change('/p/whole', { content: bytes });
    // Cuts characters in two.
    files.change('/p/parts', { content: bytes, partBytes: 3 });
    files.change('/p/empty', { content: new Uint8Array() });
    files.change('/p/last', { content: bytes });
    const told = await changes();
    const shown = told.map(({ path, content, bytes: raw, size }) => [path, content, raw, size]);
    expect(shown).toEqual([
      ['/p/whole', text, bytes, bytes.byteLength],
      ['/p/parts', text, bytes, bytes.byteLength],
      ['/p/empty', '', new Uint8Array(), 0],
      ['/p/last', text, bytes, bytes.byteLength],
    ]);
  });

  it('says why it carries none', async () => {
    for (const omission of [
      ContentOmission.TOO_LARGE,
      ContentOmission.BINARY,
      ContentOmission.UNREADABLE,
    ])
      files.change('/p/f', { omission, size: 9 });
    const told = await changes();
    expect(told.map(({ contentOmitted }) => contentOmitted)).toEqual([
      ...['too_large', 'binary', 'unreadable'],
    ]);
    expect(told.some((change) => 'content' in change || 'bytes' in change)).toBe(false);
  });

  it('is told once and whole when the connection broke within its content', async () => {
    files.cutBefore = 'content';
    files.change('/p/f', { content: new TextEncoder().encode('content'), partBytes: 2 });
    const told = await changes();
    await pass(1_000);
    expect(told.map(({ content }) => content)).toEqual(['content']);
    expect(files.attaches.map(({ cursor }) => cursor)).toEqual([0n, 0n]);
  });

  it('of a kind that a newer server knows is told as a gap', async () => {
    // A number that this version has no name for.
    files.change('/p/new', { kind: 99 as WatcherChangeKind });
    files.change('/p/known');
    const gaps: unknown[] = [];
    watcher.on('gap', (gap) => gaps.push(gap));
    const told = await changes();
    expect(told.map(({ path }) => path)).toEqual(['/p/known']);
    expect(gaps).toEqual([{ from: 0, to: 1, reason: 'unknown', complete: false }]);
  });
});
