import { beforeEach, describe, expect, it } from 'vitest';
import { type Watch, Watchdog } from '../../../client/connection/watchdog.ts';
import { FakeClock } from '../support/fake-clock.ts';

let clock: FakeClock;
let watchdog: Watchdog;
let told: string[];
let watch: Watch;

beforeEach(() => {
  clock = new FakeClock();
  told = [];
  watchdog = new Watchdog(clock, () => told.push('slept'));
  watch = watchdog.watch({
    onQuiet: () => told.push(`quiet ${clock.now() - 1_000}`),
    onDead: () => told.push(`dead ${clock.now() - 1_000}`),
  });
});

describe('the watchdog', () => {
  it('asks after 10 seconds of silence and gives up after 12', async () => {
    await clock.advance(20_000);
    expect(told).toEqual(['quiet 10000', 'dead 12000']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is calm while there are signs of life', async () => {
    for (let index = 0; index < 10; index += 1) {
      await clock.advance(5_000);
      watch.alive();
    }
    expect(told).toEqual([]);
    watch.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it('asks again after every silence', async () => {
    await clock.advance(11_000);
    watch.alive();
    await clock.advance(11_000);
    expect(told).toEqual(['quiet 10000', 'quiet 21000']);
    watch.stop();
  });

  it('does not count time in which its own loop stood still', async () => {
    await clock.advance(3_000);
    await clock.sleep(60_000);
    expect(told).toEqual(['slept']);
    await clock.advance(4_000);
    expect(told).toEqual(['slept']);
    await clock.advance(10_000);
    expect(told[1]).toMatch(/^quiet/);
    expect(told[2]).toMatch(/^dead/);
  });

  it('counts slowly in a throttled tab, where timers come once a minute', async () => {
    for (let minute = 0; minute < 4; minute += 1) await clock.sleep(60_000);
    expect(told.filter((what) => what !== 'slept')).toEqual([]);
    watch.stop();
  });

  it('grants a suspect 6 seconds, enough for a keep-alive', async () => {
    watchdog.suspect();
    await clock.advance(5_500);
    watch.alive();
    expect(told.filter((what) => what.startsWith('dead'))).toEqual([]);
    watchdog.suspect();
    await clock.advance(6_000);
    expect(told.at(-1)).toBe('dead 11500');
  });
});
