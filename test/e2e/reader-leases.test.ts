import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TransportKind } from '../../client/connection/sandbox-transport.ts';
import { GapReason } from '../../gen/computesdk/v1/stream_pb.ts';
import { newSandbox, terminalClient } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { KnownOutput } from '../support/known-output.ts';
import { readProcess, residentBytes } from '../support/processes.ts';
import { RawViewer, type RawViewerOptions } from '../support/raw-viewer.ts';
import { report } from '../support/report.ts';
import { seed } from '../support/scale.ts';
import { TRANSPORTS } from '../support/transports.ts';
import { delay, until } from '../support/until.ts';

/** Far more than the log and every buffer on the way hold, so that only waiting can save it. */
const OUTPUT_BYTES = 24_000_000;
/** Above a cold start, whatever stalls: 50 viewers are owed 1.2 GB. */
const MAX_GROWTH_BYTES = 16 * 1024 * 1024;
const READ_WITHIN_MS = 60_000;
/** Waits for a file, since typing would be echoed until the terminal is in raw mode. */
const WAITING = 'while [ ! -e /project/go ]; do sleep 0.05; done;';
/** How much slower the viewer beside a stalled one may be, on a busy machine. */
const MIN_RATIO = 0.7;

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
      const stage = await newStage({ transport });
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
    const stage = await newStage({ transport });
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
      const stage = await newStage({ transport });
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
    const stage = await newStage({ transport });
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
  const stage = await newStage({ transport, waits: true });
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

type Stage = {
  attach(extra?: Pick<RawViewerOptions, 'resume'>): Promise<RawViewer>;
  /** Lets a program go on that waits. */
  begin(): Promise<void>;
  /** How much the program has printed. */
  produced(): Promise<number>;
  /** Checks the agent's memory, and cleans up. */
  end(name: string): Promise<void>;
};

/** A sandbox of its own, with a terminal that prints known output without a limit to its speed. */
async function newStage(options: {
  readonly transport: TransportKind;
  readonly waits?: boolean;
}): Promise<Stage> {
  const known = new KnownOutput(seed);
  const { sandbox, token } = await newSandbox(gateway);
  const client = terminalClient(sandbox.url, token);
  await client.listTerminals({});
  const [agentPid] = gateway.agentPids(sandbox.id);
  if (agentPid === undefined) throw new Error('no agent found');
  const memory = watchMemory(agentPid);
  const created = await client.createTerminal({
    shell: '/bin/sh',
    args: known.program(OUTPUT_BYTES, options.waits ? { before: WAITING } : {}),
    readerLease: { seconds: 30n },
  });
  const terminalId = created.terminal?.id ?? '';
  let reserved: string | undefined = created.readerId;
  return {
    attach: (extra) => {
      // The first viewer takes the reader that was reserved at the creation.
      const first = reserved && { cursor: 0, readerId: reserved, incarnation: '' };
      reserved = undefined;
      const resume = extra?.resume ?? (first || undefined);
      const { transport } = options;
      const access = { sandboxUrl: sandbox.url, token, transport };
      const common = { ...access, terminalId, known, acknowledges: true };
      return RawViewer.attach({ ...common, ...(resume && { resume }) });
    },
    begin: async () => {
      await client.createTerminal({ shell: 'touch', args: ['/project/go'] });
    },
    produced: async () => Number((await client.getTerminal({ terminalId })).terminal?.cursor),
    end: async (name) => {
      const growth = memory.stop();
      report({
        test: `agent memory: ${name}, ${options.transport}`,
        count: 1,
        figures: { growthMB: growth / 2 ** 20 },
      });
      expect(growth).toBeLessThanOrEqual(MAX_GROWTH_BYTES);
      await client.destroyTerminal({ terminalId });
    },
  };
}

async function expectOneGap(stage: Stage, viewer: RawViewer): Promise<void> {
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

function expectAll(viewer: RawViewer): void {
  expect(viewer.wrong).toEqual([]);
  expect(viewer.gaps).toEqual([]);
  expect(viewer.cursor).toBe(OUTPUT_BYTES);
}

/** Samples a process's memory; `stop` returns by how much it was above its start at most. */
function watchMemory(pid: number): { stop(): number } {
  const start = residentBytes(pid);
  let most = start;
  const timer = setInterval(() => {
    // A test that failed ends its agent without a word to us.
    if (readProcess(pid)) most = Math.max(most, residentBytes(pid));
    else clearInterval(timer);
  }, 50);
  timer.unref();
  return {
    stop: () => {
      clearInterval(timer);
      return most - start;
    },
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
