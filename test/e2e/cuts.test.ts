import { expect, it } from 'vitest';
import { Sandbox } from '../../client/index.ts';
import { type ChaosCounters, ChaosProxy } from '../support/chaos-proxy.ts';
import { newSandbox } from '../support/clients.ts';
import { CutPlan } from '../support/cut-plan.ts';
import { TestGateway } from '../support/gateway.ts';
import { report } from '../support/report.ts';
import { isSoak, scaled, seed, seededRandom } from '../support/scale.ts';
import { runTraffic } from '../support/traffic.ts';
import { shareOf, TRANSPORTS } from '../support/transports.ts';

const ALL_CUTS = scaled(1_000);
const ALL_OUTPUT_BYTES = Number(process.env['COMPUTESDK_OUTPUT_BYTES'] ?? 50_000_000);
const ALL_INPUTS = Number(process.env['COMPUTESDK_INPUTS'] ?? 20_000);
/** Inputs that wait travel together: about so many calls are made for one. */
const CALLS_PER_INPUT = 0.4;
/** Cuts of live streams by their bytes, and of inputs, for each cut that is required. */
const LIVE_CUTS = 0.6;
const INPUT_CUTS = 0.7;
const WITHIN_MS = isSoak ? 900_000 : 110_000;

it.concurrent.for(TRANSPORTS)(
  '%s: loses, repeats and reorders nothing in either direction while the network keeps breaking',
  { timeout: WITHIN_MS + 60_000 },
  async (transport) => {
    const cuts = shareOf(ALL_CUTS, transport);
    const outputBytes = shareOf(ALL_OUTPUT_BYTES, transport);
    const inputs = shareOf(ALL_INPUTS, transport);
    await using gateway = await TestGateway.start();
    const random = seededRandom(seed);
    const plan = new CutPlan({
      random,
      bytesPerCut: Math.ceil(outputBytes / (LIVE_CUTS * cuts)),
      writesPerCut: Math.ceil((inputs * CALLS_PER_INPUT) / (INPUT_CUTS * cuts)),
    });
    const isReset = () => random.chance(0.5);
    await using proxy = await ChaosProxy.open({ port: gateway.port, plan, isReset });
    const { sandbox: record, token } = await newSandbox(gateway);
    const sandbox = await Sandbox.connect({ url: proxy.through(record.url), token, transport });
    const startedAt = performance.now();
    const traffic = { seed, outputBytes, inputs, withinMs: WITHIN_MS };
    const result = await runTraffic(sandbox, traffic);
    const seconds = (performance.now() - startedAt) / 1_000;
    plan.isActive = false;
    await sandbox.disconnect();
    const { counters } = proxy;
    const { staleAttaches } = plan;
    report({
      test: `cuts during ${outputBytes / 1e6} MB and ${inputs} inputs, ${transport}`,
      count: counters.cuts,
      figures: { seconds, staleAttaches, ...counters },
    });

    expect(result.output).toEqual(result.expectedOutput);
    expect(result.received).toEqual(result.expectedInput);
    expect(result.echoed).toEqual(result.expectedInput);
    expect(result.gaps).toEqual([]);
    expect(result.errors).toEqual([]);

    // What the run is worth: a proxy that did little would make any client pass.
    expect(counters.cuts).toBeGreaterThanOrEqual(cuts);
    expect(counters.liveStreamCuts).toBeGreaterThanOrEqual(0.3 * counters.cuts);
    expect(counters.insideEnvelopeCuts).toBeGreaterThanOrEqual(0.1 * counters.cuts);
    expect(counters.reconnectCuts).toBeGreaterThanOrEqual(0.2 * counters.cuts);
    expect(counters.clientToServerCuts).toBeGreaterThanOrEqual(0.05 * counters.cuts);
    expect(counters.serverToClientCuts).toBeGreaterThanOrEqual(0.05 * counters.cuts);
    expect(counters.resets).toBeGreaterThan(0);
    expect(counters.fins).toBeGreaterThan(0);
    expect(counters.duplicates).toBeGreaterThanOrEqual(0.05 * counters.inputs);
    expect(counters.writesInFlight).toBeGreaterThanOrEqual(16);
    expect(staleAttaches).toBeGreaterThan(0);
    if (transport === 'websocket') expectFrameCuts(counters);
  },
);

/** What HTTP does not have: frames to the server, and what comes before the calls of a WebSocket. */
function expectFrameCuts(counters: ChaosCounters): void {
  expect(counters.insideRequestCuts).toBeGreaterThanOrEqual(0.03 * counters.cuts);
  expect(counters.handshakeCuts).toBeGreaterThanOrEqual(0.03 * counters.cuts);
  expect(counters.helloCuts).toBeGreaterThanOrEqual(0.03 * counters.cuts);
}
