import { expect, it } from 'vitest';
import { LoopShare } from '../../../../server/gateway/proxy/loop-share.ts';

const READ = 64 * 1024;

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

it('lets few streams read as much as they like, and many only their share of a turn', async () => {
  const share = new LoopShare();
  const resumed: number[] = [];
  const streams = Array.from({ length: 100 }, (_, index) => () => void resumed.push(index));
  const went = streams.filter((resume) => share.take(READ, resume));
  expect(went).toHaveLength(7);
  expect(share.size).toBe(93);
  await nextTurn();
  expect(resumed).toEqual(Array.from({ length: 8 }, (_, index) => index + 7));
  for (let turn = 0; turn < 11; turn++) await nextTurn();
  expect(resumed).toHaveLength(93);
  expect(share.size).toBe(0);
});

it('forgets a stream that has ended', async () => {
  const share = new LoopShare();
  let resumed = 0;
  const resume = () => {
    resumed += 1;
  };
  expect(share.take(1_000 * READ, resume)).toBe(false);
  share.leave(resume);
  await nextTurn();
  expect([resumed, share.size]).toEqual([0, 0]);
});

it('begins no turn for a little, and leaves the next stream half of one at least', async () => {
  const share = new LoopShare();
  const never = () => {};
  for (let taken = 0; taken < 4 * READ; taken += READ) expect(share.take(READ, never)).toBe(true);
  await nextTurn();
  expect(share.take(4 * READ - 1, never)).toBe(true);
  await nextTurn();
  expect(share.take(8 * READ - 1, never)).toBe(true);
  expect(share.size).toBe(0);
});
