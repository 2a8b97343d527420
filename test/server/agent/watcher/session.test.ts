import { describe, expect, it } from 'vitest';
import type {
  Difference,
  TreeEvent,
  WatcherEvent,
} from '../../../../server/agent/watcher/events.ts';
import { WATCHER_LIMITS } from '../../../../server/agent/watcher/limits.ts';
import type { ReaderStream } from '../../../../server/agent/watcher/reader-stream.ts';
import { type AttachOptions, WatcherSession } from '../../../../server/agent/watcher/session.ts';
import { WatcherLog } from '../../../../server/agent/watcher/watcher-log.ts';
import { Quota } from '../../../../server/core/quota.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { actor } from '../support/actors.ts';

const ALICE = actor('alice');

function newSession(difference: Partial<Difference> = {}) {
  const clock = new FakeClock();
  const limits = { ...WATCHER_LIMITS, loggedEvents: 4 };
  let abandoned = 0;
  let closed = 0;
  const session = new WatcherSession({
    facts: {
      ...{ id: 'wat', incarnation: 'boot', path: '/project', ignored: [], gitignore: false },
      ...{ includeContent: false, maxContentBytes: 0, createdAt: 0 },
    },
    log: new WatcherLog({
      ...{ path: '/project', directory: '/nowhere', limit: limits.loggedEvents },
      maxContentBytes: undefined,
    }),
    ...{ clock, limits, streams: new Quota(2, 'streams') },
    onAbandoned: () => {
      abandoned += 1;
    },
  });
  session.start(
    {
      difference: async () => ({ changes: [], next: 0, isIncomplete: false, ...difference }),
      close: () => {
        closed += 1;
      },
    },
    1000,
  );
  const attach = (options: Partial<AttachOptions> = {}) =>
    session.attach({
      ...{ actor: ALICE, readerId: '', incarnation: '', disconnect: () => {}, ...options },
    });
  const add = (...paths: string[]) => session.add(paths.map(change));
  return { clock, session, attach, add, abandoned: () => abandoned, closed: () => closed };
}

function change(path: string): TreeEvent {
  return { type: 'change', kind: 'add', path, size: 1, mtimeMs: 1 };
}

/** The next events of a stream, in short. */
async function take(stream: ReaderStream, count: number): Promise<string[]> {
  const lines: string[] = [];
  const events = stream.events();
  while (lines.length < count) {
    const { value, done } = await events.next();
    if (done || !value) break;
    lines.push(inShort(value));
  }
  return lines;
}

function inShort(event: WatcherEvent): string {
  switch (event.type) {
    case 'ready':
      return `ready ${event.cursor}`;
    case 'gap':
      return `gap ${event.from}-${event.to} ${event.reason}${event.isIncomplete ? '?' : ''}`;
    case 'change':
      return `${event.kind} ${event.path} ${event.cursor}-${event.nextCursor}`;
    case 'destroyed':
      return `destroyed ${event.cursor} ${event.end}`;
    default:
      return event.type;
  }
}

describe('a reader', () => {
  it('gets replay and what follows as one stream, up to the end', async () => {
    const { attach, add, session, closed } = newSession();
    add('a');
    const stream = attach({ cursor: 0 });
    const seen = take(stream, 5);
    await Promise.resolve();
    add('b');
    session.end('DESTROYED');
    expect(await seen).toEqual([
      ...['ready 0', 'add /project/a 0-1', 'add /project/b 1-2', 'destroyed 2 DESTROYED'],
    ]);
    expect(closed()).toBe(1);
  });

  it('from further back than the log gets a gap, and the last change of each path', async () => {
    const far = { kind: 'change', path: 'a', size: 1, mtimeMs: 1, number: 3 } as const;
    const near = { ...far, path: 'b', number: 5 };
    const { attach, add } = newSession({ changes: [far, near], next: 7 });
    add('0', '1', '2', '3', '4', '5', '6', '7');
    expect(await take(attach({ cursor: 1 }), 5)).toEqual([
      'ready 1',
      'gap 1-3 LEASE_EXPIRED',
      'change /project/a 3-4',
      'change /project/b 4-6',
      'add /project/7 6-8',
    ]);
  });

  it('is told of a gap that no change makes up for, and of one that lacks deletions', async () => {
    const { attach, add } = newSession({ next: 6, isIncomplete: true });
    add('0', '1', '2', '3', '4', '5', '6');
    expect(await take(attach({ cursor: 0 }), 3)).toEqual([
      ...['ready 0', 'gap 0-6 LEASE_EXPIRED?', 'add /project/6 6-7'],
    ]);
  });

  it('is refused beyond the end, and with a lease out of bounds', () => {
    const { attach } = newSession();
    expect(() => attach({ cursor: 1 })).toThrow('cursor: 1 lies beyond the end of the events, 0');
    expect(() => attach({ leaseMs: 600_001 })).toThrow('lease: must be 0 to 600 seconds');
  });

  it('that attaches again takes the place of its earlier stream; nobody else may', async () => {
    const { attach, clock, session } = newSession();
    const first = attach({ cursor: 0 });
    const events = first.events();
    const { value } = await events.next();
    const readerId = value?.type === 'ready' ? value.readerId : '';
    const others = attach({ cursor: 0, readerId, actor: actor('bob') });
    expect(() => attach({ cursor: 0 })).toThrow('the limit of 2 streams is reached');
    const again = attach({ cursor: 0, readerId });
    await expect(events.next()).rejects.toMatchObject({ reason: 'CONFLICT' });
    for (const stream of [others, again]) stream.close();
    session.end('DESTROYED');
    expect(clock.pendingTimers).toBe(0);
  });

  it('gets a sign of life when nothing happens, and is cut when it takes nothing', async () => {
    const { attach, clock } = newSession();
    let cuts = 0;
    const events = attach({
      cursor: 0,
      disconnect: () => {
        cuts += 1;
      },
    }).events();
    await events.next();
    const alive = events.next();
    await clock.advanceAsync(5_000, 1_000);
    expect((await alive).value).toEqual({ type: 'keepAlive' });
    await clock.advanceAsync(30_000, 1_000);
    expect(cuts).toBe(1);
    await expect(events.next()).rejects.toMatchObject({ reason: 'SLOW_READER' });
  });
});

describe('a watcher', () => {
  it('waits for its first reader, and for its last one to come back', () => {
    const { attach, clock, abandoned } = newSession();
    clock.advance(999);
    const stream = attach({ cursor: 0, leaseMs: 5_000 });
    clock.advance(20_000);
    expect(abandoned()).toBe(0);
    stream.close();
    clock.advance(4_999);
    expect(abandoned()).toBe(0);
    clock.advance(1);
    expect(abandoned()).toBe(1);
  });

  it('that nobody ever reads is abandoned', () => {
    const { clock, abandoned } = newSession();
    clock.advance(1_000);
    expect(abandoned()).toBe(1);
  });
});
