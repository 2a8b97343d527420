import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import { quantile } from '../support/access-stage.ts';
import { TestGateway } from '../support/gateway.ts';
import type { PortMoment } from '../support/port-program.ts';
import { report } from '../support/report.ts';
import { isSoak, scaled, seed, seededRandom } from '../support/scale.ts';
import { SignalStage, type ToldPort } from '../support/signal-stage.ts';
import { delay, until } from '../support/until.ts';

const KINDS = ['keystroke', 'output', 'silent'] as const;
type Kind = (typeof KINDS)[number];

const OPENINGS = scaled(200);
const RESTARTS = scaled(500);
const STAGES = 10;
/** After this long without activity the agent looks less often. */
const CALM_MS = 3_300;
/** From listening to the event, in milliseconds. A test run that shares its machine gets more. */
const MAX_OPEN_P95_MS: Readonly<Record<Kind, number>> = isSoak
  ? { keystroke: 300, output: 300, silent: 1_200 }
  : { keystroke: 1_500, output: 1_500, silent: 3_000 };
/** A server that is up for less may be missed between two looks, and two pauses then count as one. */
const MIN_UP_MS = 600;
const MAX_CLOSE_P95_MS = isSoak ? 1_500 : 4_000;
const IDLE_MS = isSoak ? 60_000 : 10_000;
/** Share of a core that an agent may take while somebody listens and nothing happens. */
const MAX_IDLE_SHARE = isSoak ? 0.005 : 0.02;
/** The kernel counts the time of processes in hundredths of a second. */
const TICK_MS = 10;

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await TestGateway.start();
  compute.setConfig({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
});

afterAll(async () => {
  compute.setConfig({});
  await gateway[Symbol.asyncDispose]();
});

/** Has a port open and close in one of the three ways. Gives how late each was told. */
async function openOnce(
  { program, told }: SignalStage,
  { kind, port, afterMs }: { kind: Kind; port: number; afterMs: number },
): Promise<{ kind: Kind; openMs: number; closeMs: number }> {
  // The plan is a keystroke itself: what does not open at once opens when its effect is over.
  const openAfterMs = kind === 'keystroke' ? afterMs / 100 : 5_000 + afterMs;
  const closeAfterMs = CALM_MS + afterMs / 10;
  await program.plan({ port, openAfterMs, closeAfterMs, prints: kind === 'output' });
  const isOver = () => told.filter((signal) => signal.port === port).length === 2;
  await until(isOver, { what: `port ${port} to open and close`, withinMs: 60_000 });
  const late = (what: 'open' | 'close') => lateness(program.moments(), told, { port, what });
  return { kind, openMs: late('open'), closeMs: late('close') };
}

function lateness(
  moments: readonly PortMoment[],
  told: readonly ToldPort[],
  { port, what }: { port: number; what: 'open' | 'close' },
): number {
  const moment = moments.find((entry) => entry.port === port && entry.what === what);
  const signal = told.find((entry) => entry.port === port && entry.type === what);
  if (!moment || !signal) throw new Error(`port ${port} did not ${what}`);
  return signal.toldAt - moment.at;
}

it(
  'tells of ports soon after a key, after output, and in silence; and of their closing',
  async () => {
    const random = seededRandom(seed);
    const stages = await Promise.all(
      Array.from({ length: STAGES }, () => SignalStage.open(gateway)),
    );
    const plans = Array.from({ length: OPENINGS }, (_, index) => ({
      kind: KINDS[index % KINDS.length] ?? 'silent',
      port: 5_000 + index,
      afterMs: random.below(15_000),
    }));
    const results = await Promise.all(
      stages.map(async (stage, offset) => {
        const own: Awaited<ReturnType<typeof openOnce>>[] = [];
        for (let index = offset; index < plans.length; index += STAGES) {
          const plan = plans[index];
          if (plan) own.push(await openOnce(stage, plan));
        }
        return own;
      }),
    );
    const all = results.flat();
    const figures: Record<string, number> = {};
    for (const kind of KINDS) {
      const times = all.filter((result) => result.kind === kind).map(({ openMs }) => openMs);
      figures[`${kind} p50 ms`] = quantile(times, 0.5);
      figures[`${kind} p95 ms`] = quantile(times, 0.95);
    }
    const closeMs = all.map((result) => result.closeMs);
    figures['close p50 ms'] = quantile(closeMs, 0.5);
    figures['close p95 ms'] = quantile(closeMs, 0.95);
    report({ test: 'listening port to event', count: OPENINGS, figures });

    for (const kind of KINDS)
      expect(figures[`${kind} p95 ms`]).toBeLessThanOrEqual(MAX_OPEN_P95_MS[kind]);
    expect(figures['close p95 ms']).toBeLessThanOrEqual(MAX_CLOSE_P95_MS);
    // A server gets its second, whatever the hurry.
    expect(Math.min(...closeMs)).toBeGreaterThanOrEqual(1_000);
    await Promise.all(stages.map((stage) => stage[Symbol.asyncDispose]()));
  },
  isSoak ? 900_000 : 150_000,
);

it(
  'tells openings and closings of restarted servers in pairs, and nothing of quick restarts',
  async () => {
    const random = seededRandom(seed + 1);
    await using stage = await SignalStage.open(gateway);
    const { program, told, signals } = stage;
    const lanes = Array.from({ length: 10 }, (_, lane) => 6_000 + lane);
    const each = Math.ceil(RESTARTS / lanes.length);
    const gaps: string[] = [];
    signals.on('gap', ({ reason }) => gaps.push(reason));
    await Promise.all(lanes.map((port) => runLane(program, random, { port, restarts: each })));
    const lastCloses = () =>
      lanes.every((port) => told.findLast((one) => one.port === port)?.type === 'close');
    await until(lastCloses, { what: 'the last closes', withinMs: 20_000 });

    const moments = program.moments();
    const counts = { opens: 0, closes: 0, longPauses: 0, quickRestarts: 0 };
    for (const port of lanes) {
      const own = told.filter((signal) => signal.port === port).map(({ type }) => type);
      expect(own).toEqual(own.map((_, index) => (index % 2 === 0 ? 'open' : 'close')));
      const pauses = pausesOf(moments.filter((moment) => moment.port === port));
      counts.opens += own.filter((type) => type === 'open').length;
      counts.closes += own.filter((type) => type === 'close').length;
      counts.longPauses += pauses.filter((ms) => ms > 1_000).length;
      counts.quickRestarts += pauses.filter((ms) => ms <= 1_000).length;
    }
    report({ test: 'server restarts', count: each * lanes.length, figures: counts });
    expect(gaps).toEqual([]);
    expect(counts.opens).toBe(counts.closes);
    // One pair for each lane, and at most one for each pause that was longer than a second.
    expect(counts.opens).toBeGreaterThanOrEqual(lanes.length);
    expect(counts.opens).toBeLessThanOrEqual(lanes.length + counts.longPauses);
    expect(counts.quickRestarts).toBeGreaterThan(counts.longPauses);
    expect(counts.longPauses).toBeGreaterThan(0);
  },
  isSoak ? 600_000 : 120_000,
);

/** Opens and closes a port again and again; most pauses are shorter than a second, some longer. */
async function runLane(
  program: SignalStage['program'],
  random: ReturnType<typeof seededRandom>,
  { port, restarts }: { port: number; restarts: number },
): Promise<void> {
  for (let restart = 0; restart < restarts; restart += 1) {
    const openAfterMs = random.chance(0.2) ? 1_100 + random.below(1_500) : random.below(800);
    const closeAfterMs = MIN_UP_MS + random.below(300);
    await program.plan({ port, openAfterMs, closeAfterMs, prints: false });
    const isOver = () =>
      program.moments().filter((moment) => moment.port === port).length === 2 * (restart + 1);
    await until(isOver, { what: `restart ${restart} of port ${port}`, withinMs: 20_000 });
  }
}

/** How long a port was closed between two servers, in milliseconds, each time. */
function pausesOf(moments: readonly PortMoment[]): number[] {
  return moments.flatMap(({ what, at }, index) => {
    const before = moments[index - 1];
    return what === 'open' && before ? [at - before.at] : [];
  });
}

it('costs next to nothing while nothing happens', async () => {
  await using stage = await SignalStage.open(gateway);
  const { program, told, sandbox } = stage;
  const plan = { port: 7_000, openAfterMs: 0, closeAfterMs: 600_000, prints: false };
  await program.plan(plan);
  await until(() => told.length === 1, { what: 'the port' });
  const [pid = 0] = gateway.agentPids(sandbox.id);
  await delay(CALM_MS + 2_000);
  const before = processorMs(pid);
  const startedAt = performance.now();
  await delay(IDLE_MS);
  const share = (processorMs(pid) - before) / (performance.now() - startedAt);
  report({
    test: 'idle agent with a listener',
    count: IDLE_MS,
    figures: { 'share of a core': share },
  });
  expect(share).toBeLessThanOrEqual(MAX_IDLE_SHARE);
});

/** Processor time that a process has taken, in milliseconds. */
function processorMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
