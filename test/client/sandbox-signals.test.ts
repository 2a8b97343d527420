import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addressOfPreview } from '../../client/preview-url.ts';
import { Sandbox } from '../../client/sandbox.ts';
import { PortChange } from '../../gen/computesdk/v1/signal_pb.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import type { FakeSignals } from './support/fake-signals.ts';

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

const pass = (ms = 0) => gateway.clock.advance(ms);

describe('the address of a port', () => {
  it.each([
    ['what the preview service says', async (port: number) => `https://preview.test/${port}`],
    ['the plain one when that fails', () => Promise.reject(new Error('no tickets'))],
    ['the plain one when that hangs', () => new Promise<string>(() => {})],
  ])('is %s', async (what, previewUrl) => {
    const other = await Sandbox.open({ ...gateway.parts(), previewUrl });
    const signals = await other.signal.start();
    const told: string[] = [];
    signals.on('port', ({ type, url }) => told.push(`${type} ${url}`));
    events.open(3000);
    events.close(3000);
    await pass(11_000);
    const isPlain = what.startsWith('the plain');
    const url = isPlain ? 'http://3000-sbx1.gateway.test/' : 'https://preview.test/3000';
    expect(told).toEqual([`open ${url}`, `close ${url}`]);
    signals.stop();
    await other.disconnect();
  });

  it('leaves signals out above 10,000 that wait for it, says so, and puts the ports right', async () => {
    let give: (url: string) => void = () => {};
    const previewUrl = () =>
      new Promise<string>((resolve) => {
        give = resolve;
      });
    const other = await Sandbox.open({ ...gateway.parts(), previewUrl });
    const signals = await other.signal.start();
    const told: string[] = [];
    signals.on('port', ({ type, port }) => told.push(`${type} ${port}`));
    signals.on('gap', ({ from, to, reason }) => told.push(`gap ${from}-${to} ${reason}`));
    await pass();
    events.open(1);
    for (let count = 0; count < 10_100; count += 1) events.error('flood');
    events.close(1);
    await pass();
    give('http://one/');
    await pass();
    expect(told).toEqual(['open 1', 'gap 10001-10102 slow_reader', 'close 1']);
    signals.stop();
    await other.disconnect();
  });

  it.each([
    ['http://localhost:4000/sandboxes/sbx1', 'http://3000-sbx1.localhost:4000/'],
    ['http://127.0.0.1:4000/sandboxes/sbx1', 'http://3000-sbx1.localhost:4000/'],
    ['http://[::1]:4000/sandboxes/sbx1', 'http://3000-sbx1.localhost:4000/'],
    ['https://gate.example/base/sandboxes/sbx1', 'https://3000-sbx1.gate.example/'],
  ])('below %s is %s', async (url, expected) => {
    expect(addressOfPreview(url, 3000)).toBe(expected);
  });

  it('is refused for what is no port', async () => {
    expect(await sandbox.getUrl({ port: 8080 })).toBe('http://8080-sbx1.gateway.test/');
    for (const port of [0, 65_536, 1.5, Number.NaN, -1])
      await expect(sandbox.getUrl({ port })).rejects.toMatchObject({
        ...{ code: 'invalid_argument', field: 'port' },
      });
  });
});

describe('what a program emits', () => {
  it('travels with a request id', async () => {
    await sandbox.signal.emitPort({ port: 3000 });
    await sandbox.signal.emitPort({ port: 3000, type: 'close' });
    await sandbox.signal.emitServerReady({ port: 3000, path: '/docs' });
    await sandbox.signal.emitError({ message: 'no', source: 'build' });
    await sandbox.signal.emit({ name: 'progress', data: '1' });
    expect(events.emitted.map(({ signal }) => [signal.case, { ...signal.value }])).toMatchObject([
      ['port', { port: 3000, change: PortChange.OPEN }],
      ['port', { port: 3000, change: PortChange.CLOSE }],
      ['serverReady', { port: 3000, path: '/docs' }],
      ['error', { message: 'no', source: 'build' }],
      ['custom', { name: 'progress', data: '1' }],
    ]);
    expect(new Set(events.emitted.map(({ requestId }) => requestId)).size).toBe(5);
  });

  it('and the open ports can be had without a stream', async () => {
    events.open(3000);
    expect(await sandbox.signal.listPorts()).toEqual([
      {
        ...{ port: 3000, address: '::', process: undefined, pid: undefined },
        url: 'http://3000-sbx1.gateway.test/',
      },
    ]);
  });
});
