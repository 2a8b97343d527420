import { expect, it } from 'vitest';
import { StallWatch } from '../../../../server/gateway/proxy/stall-watch.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

function bench(waiting: number) {
  const clock = new FakeClock();
  const response = { writableLength: waiting };
  let stalls = 0;
  const watch = new StallWatch(clock, response, () => {
    stalls += 1;
  });
  return { clock, response, watch, stalls: () => stalls };
}

it('notices after 30 s a client that takes nothing', () => {
  const { clock, watch, stalls } = bench(100);
  watch.start();
  clock.advance(29_999);
  expect(stalls()).toBe(0);
  clock.advance(1);
  expect(stalls()).toBe(1);
  expect(clock.pendingTimers).toBe(0);
});

it('waits no longer for a client that took something at the very beginning only', () => {
  const { clock, response, watch, stalls } = bench(100);
  watch.start();
  response.writableLength = 50;
  clock.advance(31_000);
  expect(stalls()).toBe(1);
});

it('waits for a client that takes something now and then', () => {
  const { clock, response, watch, stalls } = bench(100);
  watch.start();
  for (let taken = 0; taken < 10; taken += 1) {
    clock.advance(25_000);
    response.writableLength -= 1;
  }
  expect(stalls()).toBe(0);
  watch.stop();
  clock.advance(100_000);
  expect(stalls()).toBe(0);
});
