import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TransportKind } from '../../client/connection/sandbox-transport.ts';
import { GapReason } from '../../gen/computesdk/v1/stream_pb.ts';
import { TestGateway } from '../support/gateway.ts';
import { expectAll, OUTPUT_BYTES, openLeaseStage, READ_WITHIN_MS } from '../support/lease-stage.ts';
import { report } from '../support/report.ts';
import { TRANSPORTS } from '../support/transports.ts';

/** How much slower the viewer beside a stalled one may be, on a busy machine. */
const MIN_RATIO = 0.7;

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await TestGateway.start();
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

describe('a crowd of readers with leases', () => {
  const crowds = [1, 10, 50].flatMap((stalled) =>
    TRANSPORTS.map((transport) => ({ stalled, transport })),
  );
  it.for(crowds)(
    '($transport) lets $stalled stalled viewers cost neither memory nor the one that reads',
    { timeout: 120_000 },
    async (crowd) => {
      await timeOfViewer(crowd);
    },
  );
});

// Alone, since it measures time.
describe('a viewer beside a stalled one', () => {
  it.for(TRANSPORTS)(
    '(%s) is not disturbed by it, which gets a gap',
    { timeout: 120_000 },
    async (transport) => {
      const alone: number[] = [];
      const beside: number[] = [];
      for (let round = 0; round < 3; round++) {
        alone.push(await timeOfViewer({ transport, stalled: 0 }));
        beside.push(await timeOfViewer({ transport, stalled: 1 }));
      }
      const ratio = median(alone) / median(beside);
      report({
        test: `viewer beside a stalled one, speed to alone, ${transport}`,
        count: 3,
        figures: { ratio },
      });
      expect(ratio).toBeGreaterThanOrEqual(MIN_RATIO);
    },
  );
});

/** Reads everything in one viewer, with others that stall. Returns how long it took. */
async function timeOfViewer({
  transport,
  stalled,
}: {
  readonly transport: TransportKind;
  readonly stalled: number;
}): Promise<number> {
  const stage = await openLeaseStage(gateway, { transport, waits: true });
  const healthy = await stage.attach();
  const others = await Promise.all(Array.from({ length: stalled }, () => stage.attach()));
  for (const viewer of others) viewer.stall();
  const startedAt = performance.now();
  await stage.begin();
  await healthy.exited(READ_WITHIN_MS);
  const took = performance.now() - startedAt;
  expectAll(healthy);
  for (const viewer of others) viewer.go();
  await Promise.all(others.map((viewer) => viewer.exited(READ_WITHIN_MS)));
  for (const viewer of others) {
    expect(viewer.wrong).toEqual([]);
    expect(viewer.gaps.length).toBeGreaterThan(0);
    expect(viewer.gaps.every((gap) => gap.reason === GapReason.SLOW_READER)).toBe(true);
    expect(viewer.cursor).toBe(OUTPUT_BYTES);
  }
  await stage.end(`${stalled} stalled viewers`);
  return took;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
