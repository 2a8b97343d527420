import { expect, it } from 'vitest';
import { RateLimit } from '../../../server/core/rate-limit.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function limit(options: { burst?: number; perSecond?: number; maxKeys?: number } = {}) {
  const clock = new FakeClock();
  const limit = new RateLimit({ burst: 3, perSecond: 2, maxKeys: 10, clock, ...options });
  return { clock, limit };
}

const takes = (it: RateLimit, key: string, times: number) =>
  Array.from({ length: times }, () => it.take(key));

it('lets a burst pass, and then as many as come back', () => {
  const { clock, limit: it } = limit();
  expect(takes(it, 'a', 4)).toEqual([0, 0, 0, 500]);
  clock.advance(499);
  expect(it.take('a')).toBeCloseTo(1);
  clock.advance(1);
  expect(takes(it, 'a', 2)).toEqual([0, 500]);
});

it('keeps no more than the burst, however long it rests', () => {
  const { clock, limit: it } = limit();
  clock.advance(1_000_000);
  expect(takes(it, 'a', 4)).toEqual([0, 0, 0, 500]);
});

it('counts each key for itself', () => {
  const { limit: it } = limit();
  takes(it, 'a', 4);
  expect(it.take('b')).toBe(0);
});

it('tells the wait without taking', () => {
  const { limit: it } = limit();
  expect([it.wait('a'), it.size]).toEqual([0, 0]);
  takes(it, 'a', 3);
  expect([it.wait('a'), it.wait('a')]).toEqual([500, 500]);
});

it('is not confused by a wait that was refused', () => {
  const { clock, limit: it } = limit();
  takes(it, 'a', 100);
  clock.advance(500);
  expect(it.take('a')).toBe(0);
});

it('remembers a bounded number of keys, the ones in use longest', () => {
  const { limit: it } = limit();
  takes(it, 'used', 3);
  for (let index = 0; index < 1_000; index += 1) {
    it.take(`key ${index}`);
    expect(it.take('used')).toBe(500);
  }
  expect(it.size).toBeLessThanOrEqual(10);
});
