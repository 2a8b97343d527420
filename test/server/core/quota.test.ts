import { expect, it } from 'vitest';
import { Quota } from '../../../server/core/quota.ts';

it('refuses what exceeds the limit, and names it', () => {
  const quota = new Quota(1, 'streams of a sandbox');
  quota.acquire();
  expect(() => quota.acquire()).toThrow('the limit of 1 streams of a sandbox is reached');
});

it('counts a place that is given back twice once', () => {
  const quota = new Quota(2, 'things');
  const release = quota.acquire();
  quota.acquire();
  release();
  release();
  expect(quota.used).toBe(1);
});
