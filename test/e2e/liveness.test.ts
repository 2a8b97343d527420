import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TransportKind } from '../../client/connection/sandbox-transport.ts';
import { Sandbox } from '../../client/index.ts';
import { ChaosProxy } from '../support/chaos-proxy.ts';
import { launchChromium } from '../support/chromium.ts';
import { newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { servePage } from '../support/page.ts';
import { nodePath } from '../support/paths.ts';
import { report } from '../support/report.ts';
import { TICKS, TickLog } from '../support/ticks.ts';
import { timeBound } from '../support/time-bound.ts';
import { Reader } from '../support/traffic.ts';
import { TRANSPORTS } from '../support/transports.ts';
import { delay, until } from '../support/until.ts';
import type { Direction } from '../support/wire.ts';

const NOTICED_WITHIN_MS = 12_000;
const RESUMED_WITHIN_MS = 1_000;
const HOLE_MS = 20_000;
const STOPPED_MS = 60_000;
const FROZEN_MS = 30_000;
/**
 * A client that comes back needs a probe and an attach, perhaps twice, and a preflight for each in a
 * page. What it reads later it acknowledges, which does not count.
 */
const STORM_CALLS = 8;
const SETTLE_MS = 5_000;

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await TestGateway.start();
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

describe.concurrent('a connection that dies without a word', () => {
  const stops: Array<[string, (proxy: ChaosProxy) => void]> = [
    ['whose connection outlived that', () => {}],
    ['whose connection broke meanwhile', (proxy) => proxy.cutAll()],
  ];
  it.for(stops)(
    'is resumed without a storm by clients that were stopped for 60 s, %s',
    { timeout: 120_000 },
    async ([name, meanwhile]) => {
      await Promise.all(TRANSPORTS.map((transport) => stopClient({ transport, name, meanwhile })));
    },
  );

  it('is resumed without a storm by frozen tabs whose connections broke meanwhile', {
    timeout: 120_000,
  }, async () => {
    await Promise.all(TRANSPORTS.map((transport) => freezeTab(transport)));
  });

  const ways: Array<[string, Direction[]]> = [
    ['both ways', ['to-server', 'to-client']],
    ['towards the server', ['to-server']],
    ['towards the client', ['to-client']],
  ];
  const holes = ways.flatMap(([name, directions]) =>
    TRANSPORTS.map((transport) => ({ name, directions, transport })),
  );
  it.for(holes)(
    '($transport) is noticed within 12 s when packets vanish $name, and resumed within 1 s',
    { timeout: 60_000 },
    async ({ name, directions, transport }) => {
      await using proxy = await ChaosProxy.open({ port: gateway.port });
      const { sandbox: record, token } = await newSandbox(gateway);
      await using sandbox = await Sandbox.connect({
        url: proxy.through(record.url),
        token,
        transport,
      });
      const terminal = await sandbox.terminal.create({
        shell: '/bin/sh',
        args: ['-c', 'stty raw -echo; echo ready; exec cat'],
      });
      const reader = new Reader(terminal);
      await until(() => reader.text === 'ready\n', { what: 'the echo' });
      const isBack = () =>
        reader.text === 'ready\nin the hole' && sandbox.connection.state === 'connected';

      const heldAt = performance.now();
      proxy.hold(...directions);
      void terminal.write('in the hole');
      await until(() => sandbox.connection.state === 'reconnecting', {
        what: 'reconnecting',
        withinMs: HOLE_MS,
      });
      const noticedMs = performance.now() - heldAt;
      await delay(HOLE_MS - noticedMs);
      const releasedAt = performance.now();
      proxy.release();
      await until(isBack, {
        what: `the connection back (${sandbox.connection.state}: ${reader.text})`,
        withinMs: 40_000,
      });
      const resumedMs = performance.now() - releasedAt;
      report({
        test: `black hole ${name}, ${transport}`,
        count: 1,
        figures: { noticedMs, resumedMs },
      });
      expect(noticedMs).toBeLessThanOrEqual(await timeBound(NOTICED_WITHIN_MS));
      expect(resumedMs).toBeLessThanOrEqual(await timeBound(RESUMED_WITHIN_MS));
    },
  );
});

async function stopClient(options: {
  readonly transport: TransportKind;
  readonly name: string;
  readonly meanwhile: (proxy: ChaosProxy) => void;
}): Promise<void> {
  const { transport, name, meanwhile } = options;
  await using proxy = await ChaosProxy.open({ port: gateway.port });
  const { sandbox, token } = await newSandbox(gateway);
  const log = new TickLog();
  const script = join(import.meta.dirname, '..', 'support', 'client-process.ts');
  const child = spawn(nodePath, [script, proxy.through(sandbox.url), token, transport], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {},
  });
  try {
    createInterface({ input: child.stdout }).on('line', (line) => log.take(JSON.parse(line)));
    await until(() => log.ticks.length > 10, { what: 'ticks', withinMs: 60_000 });
    child.kill('SIGSTOP');
    await delay(STOPPED_MS / 2);
    meanwhile(proxy);
    await delay(STOPPED_MS / 2);
    const callsBefore = resumptionCalls(proxy);
    const continuedAt = performance.now();
    child.kill('SIGCONT');
    await expectResumed({
      proxy,
      log,
      callsBefore,
      continuedAt,
      name: `${transport} client stopped for 60 s, ${name}`,
    });
  } finally {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
}

async function freezeTab(transport: TransportKind): Promise<void> {
  await using proxy = await ChaosProxy.open({ port: gateway.port });
  await using app = await servePage();
  const { sandbox, token } = await newSandbox(gateway);
  const log = new TickLog();
  await using browser = await launchChromium();
  const page = await browser.newPage();
  await page.exposeFunction('told', (event: object) => log.take(event));
  await page.goto(app.url);
  const url = proxy.through(sandbox.url);
  await page.evaluate(countInPage, { url, token, transport, ticks: TICKS });
  await until(() => log.ticks.length > 10, { what: 'ticks' });
  // The protocol's own `frozen` state left a headless page running; a stopped process does not.
  const devtools = await browser.newBrowserCDPSession();
  const { processInfo } = await devtools.send('SystemInfo.getProcessInfo');
  const renderers = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
  for (const pid of renderers) process.kill(pid, 'SIGSTOP');
  await delay(FROZEN_MS / 2);
  const ticksWhenFrozen = log.ticks.length;
  proxy.cutAll();
  await delay(FROZEN_MS / 2);
  const ticksAtEnd = log.ticks.length;
  const callsBefore = resumptionCalls(proxy);
  const continuedAt = performance.now();
  for (const pid of renderers) process.kill(pid, 'SIGCONT');
  expect(renderers.length).toBeGreaterThan(0);
  expect(ticksAtEnd).toBe(ticksWhenFrozen);
  await expectResumed({
    proxy,
    log,
    callsBefore,
    continuedAt,
    name: `tab frozen for 30 s, ${transport}`,
  });
}

async function expectResumed(given: {
  readonly proxy: ChaosProxy;
  readonly log: TickLog;
  readonly callsBefore: number;
  readonly continuedAt: number;
  readonly name: string;
}): Promise<void> {
  const { proxy, log } = given;
  const ticksBefore = log.ticks.length;
  await until(() => log.ticks.length > ticksBefore + 20, {
    what: 'ticks after the pause',
    withinMs: 20_000,
  });
  const resumedMs = performance.now() - given.continuedAt;
  await delay(SETTLE_MS);
  const calls = resumptionCalls(proxy) - given.callsBefore;
  const sinceLastMs = performance.now() - log.lastAt;
  report({ test: given.name, count: 1, figures: { resumedMs, calls, ticks: log.ticks.length } });
  expect(log.problems).toEqual([]);
  expect(log.isComplete).toBe(true);
  expect(sinceLastMs).toBeLessThan(await timeBound(1_000));
  expect(calls).toBeLessThanOrEqual(STORM_CALLS);
}

/** Calls but those that acknowledge what was read. */
function resumptionCalls(proxy: ChaosProxy): number {
  return proxy.counters.calls - (proxy.callsOf.get('AcknowledgeTerminal') ?? 0);
}

/** Runs in the page. */
async function countInPage({
  ticks,
  ...options
}: {
  readonly url: string;
  readonly token: string;
  readonly transport: TransportKind;
  readonly ticks: string;
}): Promise<void> {
  const told: (event: object) => void = Reflect.get(globalThis, 'told');
  const sandbox = await globalThis.computesdk.Sandbox.connect(options);
  sandbox.on('connection', ({ state }) => told({ state }));
  const terminal = await sandbox.terminal.create({
    pty: false,
    shell: '/bin/sh',
    args: ['-c', ticks],
  });
  let text = '';
  terminal.on('gap', (gap) => told({ gap }));
  terminal.on('output', (piece) => {
    text += piece;
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) told({ tick: Number(line) });
  });
}
