import { expect, it } from 'vitest';
import { UidRange } from './uid-range.ts';

const AT_ONCE = 40;

it('gives each of many gateways that start at once uids of its own', async () => {
  const ranges = await Promise.all(Array.from({ length: AT_ONCE }, () => UidRange.take()));
  for (const range of ranges) range.release();
  expect(new Set(ranges.map(({ first }) => first)).size).toBe(AT_ONCE);
});
