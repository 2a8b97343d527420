import { beforeEach, describe, expect, it } from 'vitest';
import type { EmittedSignal, SignalEvent } from '../../../../server/agent/signal/events.ts';
import { SignalHub } from '../../../../server/agent/signal/signal-hub.ts';
import type { SignalStream } from '../../../../server/agent/signal/signal-stream.ts';
import type { Logger } from '../../../../server/core/log.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { ALICE, BOB } from '../support/actors.ts';

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };
const NEW = { actor: ALICE, incarnation: '', readerId: '', wantsPorts: false };

let clock: FakeClock;
let hub: SignalHub;
let scans: number;
let open: number[];

beforeEach(() => {
  clock = new FakeClock();
  scans = 0;
  open = [];
  hub = newHub();
});

function newHub(limits = {}): SignalHub {
  return new SignalHub({
    ...{ clock, logger: silent, bootId: 'bot1', limits },
    senses: {
      async scan() {
        scans += 1;
        return open.map((port) => ({ port, address: '::', process: 'node', pid: 9 }));
      },
      count: () => open.join(),
      diskRoom: async () => undefined,
      memoryKills: () => undefined,
    },
  });
}

/** Reads a stream as fast as it comes. */
function read(stream: SignalStream) {
  const seen = { events: [] as string[], error: undefined as unknown, cursor: 0, readerId: '' };
  void (async () => {
    try {
      for await (const event of stream.events()) {
        if (event.type === 'ready') seen.readerId = event.readerId;
        if (event.type === 'signal') seen.cursor = event.cursor + 1;
        else if (event.type === 'gap') seen.cursor = event.to;
        else if (event.type !== 'keepAlive') seen.cursor = event.cursor;
        seen.events.push(describeEvent(event));
      }
    } catch (error) {
      seen.error = error;
    }
  })();
  return seen;
}

function describeEvent(event: SignalEvent): string {
  switch (event.type) {
    case 'ready':
      return `ready ${event.cursor}-${event.replayUntil}`;
    case 'gap':
      return `gap ${event.from}-${event.to} ${event.reason}`;
    case 'keepAlive':
      return 'keepAlive';
    case 'ports':
      return `ports ${event.cursor}: ${event.ports.map(({ port }) => port)}`;
    case 'signal': {
      const { signal } = event;
      if (signal.type === 'port') return `${event.cursor} ${signal.change} ${signal.port.port}`;
      return `${event.cursor} ${signal.type}`;
    }
  }
}

const custom: EmittedSignal = { type: 'custom', name: 'n', data: '' };
const emit = (signal: EmittedSignal = custom) => hub.emit(ALICE, '', signal);
const pass = (ms = 0) => clock.advanceAsync(Math.max(ms, 10), 10);

describe('a stream of signals', () => {
  it('begins with the ports that are open, and goes on with what changes', async () => {
    open = [3001, 3000];
    const seen = read(await hub.attach(NEW));
    await pass();
    open = [3000];
    await pass(1500);
    await emit();
    await pass();
    expect(seen.events).toEqual(['ready 2-2', 'ports 2: 3000,3001', '2 close 3001', '3 custom']);
    await pass(5000);
    expect(seen.events.at(-1)).toBe('keepAlive');
    hub.close();
  });

  it('replays from a cursor within the lease, the last close included', async () => {
    open = [3000];
    const stream = await hub.attach(NEW);
    const seen = read(stream);
    await pass();
    stream.close();
    open = [];
    await pass(5000);
    open = [3001];
    await pass(1000);
    const { readerId, cursor } = seen;
    const again = read(await hub.attach({ ...NEW, readerId, cursor, incarnation: 'bot1' }));
    await pass();
    expect(again.events).toEqual(['ready 1-3', '1 close 3000', '2 open 3001']);
    expect(again.readerId).toBe(readerId);
    hub.close();
  });

  it('tells a reader that comes back after its lease that nobody looked, and what is open', async () => {
    open = [3000];
    const stream = await hub.attach(NEW);
    const seen = read(stream);
    await pass();
    stream.close();
    await pass(31_000);
    const idleScans = scans;
    await pass(60_000);
    expect(scans).toBe(idleScans);
    open = [3001];
    const { readerId, cursor } = seen;
    const again = read(await hub.attach({ ...NEW, readerId, cursor, incarnation: 'bot1' }));
    await pass();
    expect(again.events).toEqual([
      'ready 1-4',
      'gap 1-2 LEASE_EXPIRED',
      '2 close 3000',
      '3 open 3001',
      'ports 4: 3001',
    ]);
    hub.close();
  });

  it('gives a gap for what was dropped, then what is held, then the open ports', async () => {
    hub = newHub({ signals: 10, emitBurst: 1000 });
    open = [3000];
    const slow = (await hub.attach(NEW)).events();
    expect(describeEvent((await slow.next()).value as SignalEvent)).toBe('ready 1-1');
    for (let count = 0; count < 20; count += 1) await emit();
    const events: string[] = [];
    while (!events.at(-1)?.startsWith('ports'))
      events.push(describeEvent((await slow.next()).value as SignalEvent));
    expect([events[0], events[1], events.at(-1)]).toEqual([
      'gap 1-11 SLOW_READER',
      '11 custom',
      'ports 21: 3000',
    ]);
    expect(events).toHaveLength(12);
    const evicted = read(await hub.attach({ ...NEW, cursor: 3, incarnation: 'bot1' }));
    await pass();
    expect(evicted.events.slice(0, 2)).toEqual(['ready 3-21', 'gap 3-11 EVICTED']);
    hub.close();
  });

  it('tells what another incarnation counted as a gap, and refuses a cursor beyond the end', async () => {
    const foreign = read(await hub.attach({ ...NEW, cursor: 70, incarnation: 'bot0' }));
    await pass();
    expect(foreign.events).toEqual(['ready 0-0', 'gap 70-0 INCARNATION', 'ports 0: ']);
    const beyond = hub.attach({ ...NEW, cursor: 70, incarnation: 'bot1' });
    await expect(beyond).rejects.toMatchObject({ reason: 'CURSOR_OUT_OF_RANGE', field: 'cursor' });
    hub.close();
  });

  it('repeats the open ports where they are wanted, at the end of what was missed', async () => {
    open = [3000];
    const first = read(await hub.attach(NEW));
    await emit();
    await pass();
    const { readerId } = first;
    const resume = { ...NEW, readerId, cursor: 1, incarnation: 'bot1', wantsPorts: true };
    const again = read(await hub.attach(resume));
    await pass();
    expect(again.events).toEqual(['ready 1-2', '1 custom', 'ports 2: 3000']);
    expect(first.error).toMatchObject({ reason: 'CONFLICT' });
    hub.close();
  });

  it("does not give a reader's place to another principal", async () => {
    const mine = read(await hub.attach(NEW));
    await pass();
    const theirs = read(await hub.attach({ ...NEW, actor: BOB, readerId: mine.readerId }));
    await pass();
    expect(theirs.readerId).not.toBe(mine.readerId);
    expect(mine.error).toBeUndefined();
    hub.close();
  });

  it('is refused above the limit, and leaves nothing behind', async () => {
    hub = newHub({ signalStreams: 2, signalReaders: 2 });
    const first = await hub.attach(NEW);
    await hub.attach(NEW);
    await expect(hub.attach(NEW)).rejects.toMatchObject({ reason: 'LIMIT_REACHED' });
    first.close();
    read(await hub.attach(NEW));
    await expect(hub.attach({ ...NEW, leaseMs: 601_000 })).rejects.toMatchObject({
      ...{ reason: 'INVALID_ARGUMENT', field: 'lease' },
    });
    hub.close();
    await pass();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('looking for ports', () => {
  it('costs nothing without a reader, and stops with the last one', async () => {
    hub.onActivity();
    await pass(10_000);
    expect([scans, clock.pendingTimers]).toEqual([0, 0]);
    const stream = await hub.attach({ ...NEW, leaseMs: 0 });
    read(stream);
    await pass(15_000);
    expect(scans).toBeGreaterThan(1);
    stream.close();
    await pass();
    expect(clock.pendingTimers).toBe(0);
  });

  it('lists the open ports of this moment also without a reader', async () => {
    open = [3000];
    expect((await hub.ports()).map(({ port }) => port)).toEqual([3000]);
    open = [3001];
    expect((await hub.ports()).map(({ port }) => port)).toEqual([3001]);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('an emitted signal', () => {
  it('is told once, however often it is sent', async () => {
    const seen = read(await hub.attach(NEW));
    await pass();
    await Promise.all([1, 2, 3].map(() => hub.emit(ALICE, 'same', custom)));
    await hub.emit(BOB, 'same', custom);
    await emit({ type: 'port', change: 'open', port: 3000 });
    await emit({ type: 'port', change: 'open', port: 3000 });
    await emit({ type: 'port', change: 'close', port: 3000 });
    await pass();
    expect(seen.events.slice(2)).toEqual(['0 custom', '1 custom', '2 open 3000', '3 close 3000']);
    hub.close();
  });

  it('is refused above 100 at once, with the time to wait', async () => {
    for (let count = 0; count < 100; count += 1) await emit();
    await expect(emit()).rejects.toMatchObject({ reason: 'RATE_LIMITED', retryAfterMs: 50 });
    await pass(50);
    await emit();
  });

  it.each<[string, EmittedSignal]>([
    ['port', { type: 'port', change: 'open', port: 0 }],
    ['port', { type: 'port', change: 'close', port: 65_536 }],
    ['port', { type: 'serverReady', port: 1.5, path: '' }],
    ['path', { type: 'serverReady', port: 1, path: '//evil.example/' }],
    ['path', { type: 'serverReady', port: 1, path: '/\\evil.example/' }],
    ['path', { type: 'serverReady', port: 1, path: 'javascript:alert(1)' }],
    ['path', { type: 'serverReady', port: 1, path: '/\t/evil.example' }],
    ['path', { type: 'serverReady', port: 1, path: `/${'x'.repeat(2048)}` }],
    ['message', { type: 'error', message: '', source: '' }],
    ['message', { type: 'error', message: 'x'.repeat(4097), source: '' }],
    ['source', { type: 'error', message: 'x', source: 'x'.repeat(129) }],
    ['name', { type: 'custom', name: '', data: '' }],
    ['data', { type: 'custom', name: 'x', data: 'x'.repeat(4097) }],
  ])('with a bad %s is refused: %j', async (field, signal) => {
    expect(() => hub.emit(ALICE, '', signal)).toThrow(
      expect.objectContaining({ reason: 'INVALID_ARGUMENT', field }),
    );
  });
});

it('tells the failures that parts of the agent raise', async () => {
  const seen = read(await hub.attach(NEW));
  await pass();
  hub.raiseError({ message: 'the watcher failed', source: 'watcher' });
  await pass();
  expect(seen.events).toEqual(['ready 0-0', 'ports 0: ', '0 error']);
  hub.close();
});
