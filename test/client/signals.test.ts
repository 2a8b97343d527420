import { Code } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../client/sandbox.ts';
import type { AnySignal } from '../../client/signal-events.ts';
import type { Signals } from '../../client/signals.ts';
import { ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import { type FakeSignals, forbidden } from './support/fake-signals.ts';
import { refusal } from './support/fake-terminal.ts';

let gateway: FakeGateway;
let events: FakeSignals;
let sandbox: Sandbox;

beforeEach(async () => {
  gateway = new FakeGateway();
  events = gateway.events;
  sandbox = await gateway.connect();
});

afterEach(async () => {
  await sandbox.disconnect();
  await settle();
  expect(gateway.network.streams).toBe(0);
  expect(gateway.clock.pendingTimers).toBe(0);
});

/** Notes all that is told, in its order. */
function record(signals: Signals): string[] {
  const told: string[] = [];
  signals.on('signal', (signal) => told.push(name(signal)));
  signals.on('gap', ({ from, to, reason }) => told.push(`gap ${from}-${to} ${reason}`));
  signals.on('closed', ({ code }) => told.push(`closed ${code}`));
  return told;
}

function name(signal: AnySignal): string {
  switch (signal.signal) {
    case 'port':
      return `${signal.type} ${signal.port}`;
    case 'error':
      return `error ${signal.message}`;
    case 'serverReady':
      return `ready ${signal.url}`;
    case 'custom':
      return `custom ${signal.name}`;
  }
}

const pass = (ms = 0) => gateway.clock.advance(ms);

describe('signals', () => {
  it('tell the ports that are open already to every new listener, however late it comes', async () => {
    events.open(3000);
    const signals = await sandbox.signal.start();
    await pass(5_000);
    const first = record(signals);
    await pass();
    events.open(3001);
    events.close(3000);
    await pass();
    expect(first).toEqual(['open 3000', 'open 3001', 'close 3000']);
    const late: unknown[] = [];
    signals.on('port', (signal) => late.push(signal));
    await pass();
    expect(late).toEqual([
      {
        ...{ signal: 'port', type: 'open', port: 3001, address: '127.0.0.1', process: 'p', pid: 5 },
        url: 'http://3001-sbx1.gateway.test/',
      },
    ]);
    signals.stop();
  });

  it('keep errors and other signals for the first listeners, all that come together', async () => {
    const signals = await sandbox.signal.start();
    events.error('first');
    events.custom('second');
    await pass(5_000);
    const errors: string[] = [];
    const customs: string[] = [];
    signals.on('error', ({ message }) => errors.push(message));
    signals.on('custom', (custom) => customs.push(custom.name));
    await pass();
    events.error('third');
    await pass();
    expect([errors, customs]).toEqual([['first', 'third'], ['second']]);
    signals.stop();
  });

  it('keep 1,000 of them, and tell what was dropped', async () => {
    const signals = await sandbox.signal.start();
    for (let count = 0; count < 1_010; count += 1) events.error(String(count));
    await pass();
    const told = record(signals);
    await pass();
    expect(told).toHaveLength(1_001);
    expect(told.slice(0, 2)).toEqual(['gap 0-10 slow_reader', 'error 10']);
    signals.stop();
  });

  it('go on after a cut without losing or repeating anything', async () => {
    const signals = await sandbox.signal.start();
    const told = record(signals);
    events.open(3000);
    await pass();
    expect(gateway.network.cutStreams()).toBe(1);
    events.close(3000);
    events.error('while away');
    await pass();
    expect(told).toEqual(['open 3000', 'close 3000', 'error while away']);
    expect(events.attaches.map(({ cursor, portsWanted }) => [cursor, portsWanted])).toEqual([
      [undefined, true],
      [1n, false],
    ]);
    expect(events.attaches[1]).toMatchObject({ readerId: 'rdr-new', incarnation: 'life-1' });
    signals.stop();
  });

  it('ask for the open ports again when the connection broke before they came', async () => {
    events.open(3000);
    events.cutBefore = 'ports';
    const signals = await sandbox.signal.start();
    const told = record(signals);
    events.cutBefore = undefined;
    events.error('x');
    await pass(1_000);
    expect(told).toEqual(['open 3000', 'error x']);
    signals.stop();
  });

  it.each(['evict', 'restart'] as const)(
    'put the ports right after what cannot be delivered: %s',
    async (how) => {
      events.open(3000);
      const signals = await sandbox.signal.start();
      const told = record(signals);
      await pass();
      events.open(3001);
      await pass();
      gateway.network.cutStreams();
      events.close(3000);
      events.open(3002);
      if (how === 'evict') events.evict();
      else events.restart(3001, 3002);
      for (const cut of ['ready', 'gap', 'ports'] as const) {
        events.cutBefore = cut;
        gateway.network.cutStreams();
        const attaches = events.attaches.length;
        while (events.attaches.length === attaches) await pass(500);
      }
      events.cutBefore = undefined;
      await pass(3_000);
      const gap = how === 'evict' ? 'gap 2-4 slow_reader' : 'gap 2-0 incarnation';
      expect(told).toEqual(['open 3000', 'open 3001', gap, 'close 3000', 'open 3002']);
      signals.stop();
    },
  );

  it('tell a server that is ready at its own address only, whatever a program says', async () => {
    const signals = await sandbox.signal.start();
    const told = record(signals);
    for (const path of ['/docs?a=b#c', '', '//evil.example/', '/\\evil.example/', 'javascript:0'])
      events.ready(3000, path);
    events.ready(0, '/');
    events.open(70_000);
    await pass();
    const base = 'http://3000-sbx1.gateway.test/';
    expect(told).toEqual([`ready ${base}docs?a=b#c`, ...[1, 2, 3, 4].map(() => `ready ${base}`)]);
    signals.stop();
  });

  it('need no listener for errors, and disturb no other when one throws', async () => {
    const signals = await sandbox.signal.start();
    const ports: number[] = [];
    signals.on('port', ({ port }) => ports.push(port));
    events.error('nobody listens');
    events.open(3000);
    await pass();
    expect(ports).toEqual([3000]);
    signals.stop();
  });

  it('tell a listener nothing that was taken off, and once what listens once', async () => {
    events.open(3000);
    events.open(3001);
    const signals = await sandbox.signal.start();
    const told: string[] = [];
    signals.on('port', () => told.push('off at once'))();
    const listener = () => told.push('off by name');
    signals.on('port', listener);
    signals.off('port', listener);
    signals.once('port', ({ port }) => told.push(`once ${port}`));
    await pass();
    events.open(3002);
    await pass();
    expect(told).toEqual(['once 3000']);
    signals.stop();
  });

  it('tell nothing any more after a stop, which ends the stream', async () => {
    const signals = await sandbox.signal.start();
    const told = record(signals);
    events.open(3000);
    signals.stop();
    signals.stop();
    await pass();
    expect(told).toEqual([]);
    expect(gateway.network.streams).toBe(0);
  });

  it('say why no more will come, except to who disconnected', async () => {
    const signals = await sandbox.signal.start();
    const told = record(signals);
    await pass();
    events.fail(forbidden());
    await pass();
    expect(told).toEqual(['closed permission_denied']);
    events.failure = undefined;
    const others = await sandbox.signal.start();
    const later = record(others);
    await sandbox.disconnect();
    await pass();
    expect(later).toEqual([]);
  });

  it('say that access ended', async () => {
    const signals = await sandbox.signal.start();
    const told = record(signals);
    await pass();
    const revoked = refusal(Code.Unauthenticated, ErrorReason.REVOKED);
    gateway.accessRefusal = revoked;
    events.fail(revoked);
    await pass();
    expect(told).toEqual(['closed access_ended']);
  });

  it('do not start without the scope, within 30 s without an answer, or when canceled', async () => {
    events.failure = forbidden();
    await expect(sandbox.signal.start()).rejects.toMatchObject({ code: 'permission_denied' });
    events.failure = undefined;
    events.cutBefore = 'ready';
    const late = expect(sandbox.signal.start()).rejects.toMatchObject({ code: 'unreachable' });
    await pass(31_000);
    await late;
    const controller = new AbortController();
    const starting = sandbox.signal.start({ signal: controller.signal });
    const canceled = expect(starting).rejects.toMatchObject({ code: 'canceled' });
    controller.abort();
    await canceled;
  });
});
