import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TransportKind } from '../../client/connection/sandbox-transport.ts';
import { GapReason } from '../../gen/computesdk/v1/stream_pb.ts';
import { TestGateway } from '../support/gateway.ts';
import {
  expectAll,
  type LeaseStage,
  OUTPUT_BYTES,
  openLeaseStage,
  READ_WITHIN_MS,
} from '../support/lease-stage.ts';
import type { RawViewer } from '../support/raw-viewer.ts';
import { TRANSPORTS } from '../support/transports.ts';
import { delay, until } from '../support/until.ts';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await TestGateway.start();
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

describe.concurrent('a reader with a lease', () => {
  /** Runs a test over both transports at once, since it mostly waits. */
  const onBoth = (name: string, run: (transport: TransportKind) => Promise<void>) =>
    it(name, { timeout: 120_000 }, async () => {
      await Promise.all(TRANSPORTS.map(run));
    });

  onBoth(
    'gets one gap, and all that follows it, when its socket stalls for 70 s',
    async (transport) => {
      const stage = await openLeaseStage(gateway, { transport });
      const viewer = await stage.attach();
      await until(() => viewer.cursor > 500_000, { what: 'output' });
      viewer.stall();
      await delay(70_000);
      viewer.go();
      await viewer.closed;
      expect(viewer.hasExited).toBe(false);
      await expectOneGap(stage, viewer);
      await stage.end('stall 70 s');
    },
  );

  onBoth('gets one gap when it comes back 70 s after its connection broke', async (transport) => {
    const stage = await openLeaseStage(gateway, { transport });
    const viewer = await stage.attach();
    await until(() => viewer.cursor > 500_000, { what: 'output' });
    viewer.vanish();
    await delay(70_000);
    await expectOneGap(stage, viewer);
    await stage.end('away 70 s');
  });

  onBoth(
    'loses nothing when its socket stalls for 20 s, because the program waits',
    async (transport) => {
      const stage = await openLeaseStage(gateway, { transport });
      const viewer = await stage.attach();
      await until(() => viewer.cursor > 500_000, { what: 'output' });
      viewer.stall();
      await delay(5_000);
      const early = await stage.produced();
      await delay(15_000);
      expect(await stage.produced()).toBe(early);
      expect(early).toBeLessThan(OUTPUT_BYTES);
      viewer.go();
      await viewer.exited(READ_WITHIN_MS);
      expectAll(viewer);
      await stage.end('stall 20 s');
    },
  );

  onBoth('loses nothing when it comes back 10 s after its connection broke', async (transport) => {
    const stage = await openLeaseStage(gateway, { transport });
    const viewer = await stage.attach();
    await until(() => viewer.cursor > 500_000, { what: 'output' });
    viewer.vanish();
    await delay(10_000);
    const again = await stage.attach({ resume: viewer.resume });
    await again.exited(READ_WITHIN_MS);
    expect(viewer.wrong).toEqual([]);
    expectAll(again);
    expect(again.readerId).toBe(viewer.readerId);
    await stage.end('away 10 s');
  });
});

async function expectOneGap(stage: LeaseStage, viewer: RawViewer): Promise<void> {
  expect(viewer.wrong).toEqual([]);
  expect(viewer.gaps).toEqual([]);
  const again = await stage.attach({ resume: viewer.resume });
  await again.exited(READ_WITHIN_MS);
  expect(again.wrong).toEqual([]);
  expect(again.gaps).toHaveLength(1);
  expect(again.gaps[0]).toMatchObject({
    from: BigInt(viewer.cursor),
    reason: GapReason.LEASE_EXPIRED,
  });
  expect(again.cursor).toBe(OUTPUT_BYTES);
}
