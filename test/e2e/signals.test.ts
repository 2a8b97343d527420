import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import type { PortSignal, Signals } from '../../client/index.ts';
import { TestGateway } from '../support/gateway.ts';
import { PortProgram } from '../support/port-program.ts';
import { until } from '../support/until.ts';

type Owned = Awaited<ReturnType<typeof compute.sandbox.create>>;
/** A port signal and when it came. */
type Told = PortSignal & { readonly toldAt: number };

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await TestGateway.start();
  compute.setConfig({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
});

afterAll(async () => {
  compute.setConfig({});
  await gateway[Symbol.asyncDispose]();
});

function collect(signals: Signals): Told[] {
  const told: Told[] = [];
  signals.on('port', (signal) => told.push({ ...signal, toldAt: Date.now() }));
  return told;
}

const projectOf = (owned: Owned) => join(gateway.dataDirectory, 'sandboxes', owned.id, 'project');

describe('signals of a sandbox', () => {
  it('tell the ports that are open already, those that open, and the last close', async () => {
    const owned = await compute.sandbox.create();
    const program = await PortProgram.start(owned, projectOf(owned));
    await program.plan({ port: 4001, openAfterMs: 0, closeAfterMs: 3000, prints: false });
    await until(() => program.moments().length === 1, { what: 'the first port' });
    const signals = await owned.signal.start();
    const told = collect(signals);
    await until(() => told.length === 1, { what: 'the port that is open already' });
    await program.plan({
      ...{ port: 4002, openAfterMs: 100, closeAfterMs: 500, prints: false, host: '::1' },
    });
    await until(() => told.length === 4, { what: 'the last close' });
    expect(told.map(({ type, port, address }) => [type, port, address])).toEqual([
      ['open', 4001, '127.0.0.1'],
      ['open', 4002, '::1'],
      ['close', 4002, '::1'],
      ['close', 4001, '127.0.0.1'],
    ]);
    expect(told[0]).toMatchObject({
      process: 'node',
      url: `http://4001-${owned.id}.localhost:${gateway.port}/`,
    });
    expect(told[0]?.pid).toBeGreaterThan(1);
    expect(await owned.getUrl({ port: 4001 })).toBe(told[0]?.url);
    expect(await owned.signal.listPorts()).toEqual([]);
    signals.stop();
    await owned.destroy();
  });
});
