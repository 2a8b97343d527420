import { describe, expect, it } from 'vitest';
import { Backoff } from '../../../client/connection/backoff.ts';

describe('the backoff', () => {
  it('retries at once, then within doubling bounds up to 30 seconds, without end', () => {
    const longest = new Backoff(() => 1 - Number.EPSILON);
    const delays = Array.from({ length: 12 }, () => Math.round(longest.next()));
    expect(delays).toEqual([
      0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000,
    ]);
    for (let index = 0; index < 5_000; index += 1) longest.next();
    expect(longest.next()).toBeLessThanOrEqual(30_000);
  });

  it('has full jitter: any delay may be 0', () => {
    const shortest = new Backoff(() => 0);
    expect(Array.from({ length: 10 }, () => shortest.next())).toEqual(Array(10).fill(0));
  });

  it('begins again after progress', () => {
    const backoff = new Backoff(() => 0.5);
    for (let index = 0; index < 9; index += 1) backoff.next();
    backoff.reset();
    expect([backoff.next(), backoff.next()]).toEqual([0, 125]);
  });
});
