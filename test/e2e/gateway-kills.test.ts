import { expect, it } from 'vitest';
import { Sandbox } from '../../client/index.ts';
import { ChaosProxy } from '../support/chaos-proxy.ts';
import { newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { report } from '../support/report.ts';
import { isSoak, scaled, seed, seededRandom } from '../support/scale.ts';
import { runTraffic } from '../support/traffic.ts';
import { shareOf, TRANSPORTS } from '../support/transports.ts';
import { delay, until } from '../support/until.ts';

const ALL_KILLS = scaled(50);
const ALL_OUTPUT_BYTES = 50_000_000;
/** Enough that typing lasts longer than all kills do. */
const ALL_INPUTS = Math.max(20_000, ALL_KILLS * 1_500);
const WITHIN_MS = isSoak ? 900_000 : 110_000;
/** How long a gateway lives once traffic flows again, at least, and how much longer it may. */
const SHORTEST_LIFE_MS = 20;
const LIFE_SPREAD_MS = 250;
/** Slows the traffic down so that it lasts longer than all kills do. */
const BYTES_PER_SECOND = ALL_OUTPUT_BYTES / (ALL_KILLS * 0.5);

it.for(TRANSPORTS)(
  '%s: loses, repeats and reorders nothing while the gateway is killed again and again',
  { timeout: WITHIN_MS + 60_000 },
  async (transport) => {
    const allKills = shareOf(ALL_KILLS, transport);
    const outputBytes = shareOf(ALL_OUTPUT_BYTES, transport);
    const inputs = shareOf(ALL_INPUTS, transport);
    await using gateway = await TestGateway.start();
    await using proxy = await ChaosProxy.open({ port: gateway.port });
    proxy.bytesPerSecond = BYTES_PER_SECOND;
    const { sandbox: record, token } = await newSandbox(gateway);
    const sandbox = await Sandbox.connect({ url: proxy.through(record.url), token, transport });
    const startedAt = performance.now();
    let isDone = false;
    const traffic = { seed, outputBytes, inputs, withinMs: WITHIN_MS };
    const running = runTraffic(sandbox, traffic).finally(() => {
      isDone = true;
    });
    const random = seededRandom(seed);
    let kills = 0;
    for (; kills < allKills; kills++) {
      await until(() => isDone || isTraffic(proxy), { what: 'traffic', withinMs: 40_000 });
      await delay(SHORTEST_LIFE_MS + random.below(LIFE_SPREAD_MS));
      if (isDone) break;
      await gateway.kill('SIGKILL');
      await gateway.restart();
    }
    const result = await running;
    const seconds = (performance.now() - startedAt) / 1_000;
    await sandbox.disconnect();
    const { duplicates, inputs: numbered, connections } = proxy.counters;
    report({
      test: `kill -9 of the gateway during ${outputBytes / 1e6} MB and ${inputs} inputs, ${transport}`,
      count: kills,
      figures: { seconds, duplicates, inputs: numbered, connections },
    });

    expect(result.errors).toEqual([]);
    expect(result.gaps).toEqual([]);
    expect(result.output).toEqual(result.expectedOutput);
    expect(result.received).toEqual(result.expectedInput);
    expect(result.echoed).toEqual(result.expectedInput);
    expect(kills).toBe(allKills);
  },
);

/** Whether output and input are under way. */
function isTraffic(proxy: ChaosProxy): boolean {
  const calls = proxy.openConnections.flatMap((connection) => connection.calls);
  return (
    calls.some((call) => call.isLiveStream) && calls.some((call) => call.method === 'WriteTerminal')
  );
}
