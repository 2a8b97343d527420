import { expect, it } from 'vitest';
import { OverflowGuard } from '../../../../server/agent/watcher/overflow-guard.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

function newGuard() {
  const clock = new FakeClock();
  const drains: (() => void)[] = [];
  let suspicions = 0;
  const guard = new OverflowGuard({
    clock,
    afterDrain: (task) => drains.push(task),
    maxQueuedEvents: 100,
    onSuspect: () => {
      suspicions += 1;
    },
  });
  guard.start();
  const drain = (events: number) => {
    for (let event = 0; event < events; event++) guard.noteEvent();
    for (const task of drains.splice(0)) task();
  };
  return { clock, guard, drain, suspicions: () => suspicions };
}

it('suspects half a queue at once, not the same events one by one', () => {
  const { drain, suspicions, guard } = newGuard();
  for (let turn = 0; turn < 10; turn++) drain(49);
  expect(suspicions()).toBe(0);
  drain(80);
  expect(suspicions()).toBe(1);
  guard.stop();
});

it('suspects events around a time in which the loop stood still, once', () => {
  const { clock, drain, suspicions, guard } = newGuard();
  const stall = () => {
    // The clock's timer was due while it stood: it fires late.
    const monotonic = clock.monotonic.bind(clock);
    const late = monotonic() + 1000;
    clock.monotonic = () => Math.max(monotonic(), late);
    clock.advance(100);
    clock.monotonic = monotonic;
  };
  stall();
  clock.advance(300);
  drain(1);
  expect(suspicions()).toBe(0);
  stall();
  drain(3);
  expect(suspicions()).toBe(1);
  clock.advance(300);
  drain(3);
  stall();
  expect(suspicions()).toBe(2);
  drain(3);
  expect(suspicions()).toBe(2);
  guard.stop();
  expect(clock.pendingTimers).toBe(0);
});
