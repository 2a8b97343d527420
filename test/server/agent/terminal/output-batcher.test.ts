import { expect, it } from 'vitest';
import { OutputBatcher } from '../../../../server/agent/terminal/output-batcher.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

function setUp() {
  const clock = new FakeClock();
  const deliveries: number[] = [];
  const batcher = new OutputBatcher(clock, () => deliveries.push(clock.monotonic()));
  return { clock, batcher, deliveries };
}

it("delivers a lone key's echo at once", () => {
  const { clock, batcher, deliveries } = setUp();
  for (let key = 0; key < 3; key += 1) {
    batcher.add(1);
    // Before any timer could run.
    expect(deliveries).toHaveLength(key + 1);
    clock.advance(50);
  }
  expect(deliveries).toEqual([0, 50, 100]);
  expect(clock.pendingTimers).toBe(0);
});

it('delivers what follows soon 4 ms after the delivery before', () => {
  const { clock, batcher, deliveries } = setUp();
  batcher.add(1);
  clock.advance(1);
  batcher.add(1);
  clock.advance(1);
  batcher.add(1);
  clock.advance(10);
  expect(deliveries).toEqual([0, 4]);
});

it('delivers the echo of fast typing at once, and no more of what follows it', () => {
  const { clock, batcher, deliveries } = setUp();
  for (let key = 0; key < 3; key += 1) {
    batcher.onInput();
    batcher.add(1);
    expect(deliveries).toHaveLength(key + 1);
    batcher.add(1);
    expect(deliveries).toHaveLength(key + 1);
    clock.advance(1);
  }
  clock.advance(10);
  expect(deliveries).toEqual([0, 1, 2, 6]);
});

it('keeps a flood in batches while somebody types', () => {
  const { batcher, deliveries } = setUp();
  for (let read = 0; read < 1 + 60; read += 1) {
    batcher.add(4096);
    batcher.add(4096);
    if (read % 2 === 0) batcher.onInput();
  }
  // 60 KiB each, and one echo at the most for each.
  expect(deliveries.length).toBeLessThanOrEqual(1 + 2 * 8 + 1);
});

it('delivers a flood in pieces of 60 KiB', () => {
  const { batcher, deliveries } = setUp();
  for (let read = 0; read < 1 + 60; read += 1) batcher.add(4096);
  expect(deliveries).toHaveLength(1 + 4);
});

it('leaves no timer when it was flushed', () => {
  const { clock, batcher } = setUp();
  batcher.add(1);
  batcher.add(1);
  batcher.flush();
  expect(clock.pendingTimers).toBe(0);
});
