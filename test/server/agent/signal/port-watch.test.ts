import { expect, it } from 'vitest';
import { SIGNAL_LIMITS } from '../../../../server/agent/signal/limits.ts';
import { PortTable } from '../../../../server/agent/signal/port-table.ts';
import { PortWatch } from '../../../../server/agent/signal/port-watch.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

function scene({ isCounted = true } = {}) {
  const clock = new FakeClock();
  const seen = { ports: [] as number[], count: 0, scans: [] as number[], looks: 0, failures: 0 };
  const changes: string[] = [];
  const table = new PortTable({
    ...{ clock, limits: SIGNAL_LIMITS },
    onChange: (change, { port }) => changes.push(`${change} ${port} at ${clock.monotonic()}`),
    onFull: () => {},
  });
  let failure: Error | undefined;
  const watch = new PortWatch({
    ...{ clock, limits: SIGNAL_LIMITS, table },
    async scan() {
      seen.scans.push(clock.monotonic());
      if (failure) throw failure;
      return seen.ports.map((port) => ({ port, address: '::', process: '', pid: 0 }));
    },
    count() {
      seen.looks += 1;
      return isCounted ? String(seen.count) : undefined;
    },
    onFailed: () => {
      seen.failures += 1;
    },
  });
  const set = (...ports: number[]) => {
    seen.ports = ports;
    seen.count += 1;
  };
  const fail = (error: Error | undefined) => {
    failure = error;
  };
  return { clock, seen, changes, watch, set, fail };
}

it('reads the list of sockets while nothing happens every ten seconds only', async () => {
  const { clock, seen, watch } = scene();
  watch.start();
  await clock.advanceAsync(60_000, 10);
  expect(seen.scans.length).toBeLessThanOrEqual(7);
  expect(seen.scans.length).toBeGreaterThanOrEqual(5);
  expect(seen.looks).toBeLessThan(250);
  watch.stop();
  expect(clock.pendingTimers).toBe(0);
});

it('reads it every second where the kernel counts no sockets', async () => {
  const { clock, seen, watch } = scene({ isCounted: false });
  watch.start();
  await clock.advanceAsync(10_000, 10);
  expect(seen.scans.length).toBeGreaterThanOrEqual(9);
  expect(seen.scans.length).toBeLessThanOrEqual(11);
  watch.stop();
});

it.each([{ isCounted: true }, { isCounted: false }])(
  'sees what opens after activity within 300 ms: $isCounted',
  async ({ isCounted }) => {
    for (const afterMs of [0, 40, 180, 700, 1500, 2500]) {
      const { clock, changes, watch, set } = scene({ isCounted });
      watch.start();
      await clock.advanceAsync(5000, 10);
      watch.wake();
      await clock.advanceAsync(afterMs, 10);
      set(3000);
      await clock.advanceAsync(isCounted ? 300 : 410, 10);
      expect(changes).toHaveLength(1);
      watch.stop();
    }
  },
);

it('sees what opens silently within a second, and closes it within a second and a half', async () => {
  const { clock, changes, watch, set } = scene();
  watch.start();
  await clock.advanceAsync(7_030, 10);
  set(3000);
  await clock.advanceAsync(360, 10);
  expect(changes).toHaveLength(1);
  set();
  await clock.advanceAsync(1400, 10);
  expect(changes).toHaveLength(2);
  watch.stop();
});

it('sees a server that took the place of another, so that the number stayed the same', async () => {
  const { clock, seen, changes, watch } = scene();
  watch.start();
  seen.ports = [3000];
  seen.count += 1;
  await clock.advanceAsync(5000, 10);
  watch.wake();
  seen.ports = [3001];
  await clock.advanceAsync(550, 10);
  expect(changes.at(-1)).toContain('open 3001');
  await clock.advanceAsync(20_000, 10);
  seen.ports = [3002];
  await clock.advanceAsync(10_400, 10);
  expect(changes.map((change) => change.split(' at ')[0])).toContain('open 3002');
  watch.stop();
});

it('stays seldom under a flood of activity and of changing counts', async () => {
  const { clock, seen, watch } = scene();
  watch.start();
  for (let ms = 0; ms < 10_000; ms += 10) {
    watch.wake();
    seen.count += 1;
    await clock.advanceAsync(10, 10);
  }
  expect(seen.scans.length).toBeLessThanOrEqual(51);
  watch.stop();
});

it('sees a server at once that opens right after another one closed', async () => {
  const { clock, changes, watch, set } = scene();
  watch.start();
  set(3000);
  await clock.advanceAsync(5000, 10);
  set();
  for (let ms = 0; changes.length < 2 && ms < 2000; ms += 10) await clock.advanceAsync(10, 10);
  watch.wake();
  set(3001);
  await clock.advanceAsync(60, 10);
  expect(changes.at(-1)).toContain('open 3001');
  watch.stop();
});

it('goes on after scans that failed, without a hot loop', async () => {
  const { clock, seen, changes, watch, set, fail } = scene();
  watch.start();
  set(3000);
  await clock.advanceAsync(1000, 10);
  set();
  await clock.advanceAsync(300, 10);
  fail(new Error('no /proc'));
  const before = seen.scans.length;
  await clock.advanceAsync(10_000, 10);
  expect(seen.failures).toBeGreaterThan(0);
  expect(seen.scans.length - before).toBeLessThanOrEqual(220);
  fail(undefined);
  await clock.advanceAsync(1000, 10);
  expect(changes.map((change) => change.split(' ')[0])).toEqual(['open', 'close']);
  watch.stop();
});
