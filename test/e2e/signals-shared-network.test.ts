import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import { TestGateway } from '../support/gateway.ts';
import { SignalStage } from '../support/signal-stage.ts';
import { until } from '../support/until.ts';

afterEach(() => compute.setConfig({}));

it.each([
  { COMPUTESDK_DRIVER: 'process' },
  { COMPUTESDK_DRIVER: 'bubblewrap', COMPUTESDK_EGRESS: 'host' },
])("tells only a sandbox's own ports where it shares the host's network: %o", async (env) => {
  await using gateway = await TestGateway.start({ env });
  compute.setConfig({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
  const foreign = createServer().listen(0, '127.0.0.1');
  await once(foreign, 'listening');
  await using one = await SignalStage.open(gateway);
  await using other = await SignalStage.open(gateway);
  const port = 20_000 + (process.pid % 10_000);
  const plan = { openAfterMs: 0, closeAfterMs: 1_000, prints: true };
  await one.program.plan({ ...plan, port });
  await other.program.plan({ ...plan, port: port + 1 });
  await until(() => one.told.length + other.told.length === 4, { what: 'both ports' });
  const brief = ({ told }: SignalStage) => told.map((signal) => `${signal.type} ${signal.port}`);
  expect(brief(one)).toEqual([`open ${port}`, `close ${port}`]);
  expect(brief(other)).toEqual([`open ${port + 1}`, `close ${port + 1}`]);
  expect(one.told[0]).toMatchObject({ process: 'node', pid: expect.any(Number) });
  expect(await one.sandbox.signal.listPorts()).toEqual([]);
  foreign.close();
  await once(foreign, 'close');
});
