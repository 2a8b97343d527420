import { expect, it } from 'vitest';
import { InputQueue } from '../../../../server/agent/terminal/input-queue.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

/** A terminal that takes `room` bytes. */
function setUp(room: number) {
  const clock = new FakeClock();
  const state = { room, attempts: 0, rooms: 0, taken: '', broken: false };
  const queue = new InputQueue({
    clock,
    attempt: (data) => {
      state.attempts += 1;
      if (state.broken) throw new Error('EIO');
      const count = Math.min(state.room, data.length);
      state.room -= count;
      state.taken += Buffer.from(data.subarray(0, count)).toString();
      return count;
    },
    onRoom: () => (state.rooms += 1),
  });
  return { clock, state, queue };
}

it('writes at once when there is room', async () => {
  const { clock, state, queue } = setUp(100);
  await queue.write(Buffer.from('ls\n'));
  expect([state.taken, state.rooms, queue.bytes, clock.pendingTimers]).toEqual(['ls\n', 0, 0, 0]);
});

it('waits longer and longer for a program that does not read, up to 32 ms', () => {
  const { clock, state, queue } = setUp(0);
  void queue.write(Buffer.from('x'));
  clock.advance(1000);
  expect(state.attempts).toBeLessThan(40);
  expect(state.attempts).toBeGreaterThan(30);
});

it('goes on in order where it stopped', async () => {
  const { clock, state, queue } = setUp(4);
  const writes = ['abc', 'def'].map(async (text) => queue.write(Buffer.from(text)));
  expect([state.taken, queue.bytes]).toEqual(['abcd', 2]);
  state.room = 100;
  clock.advance(40);
  await Promise.all(writes);
  expect([state.taken, queue.bytes, clock.pendingTimers]).toEqual(['abcdef', 0, 0]);
});

it('lets other work have its turn during a large paste', async () => {
  const { clock, state, queue } = setUp(0);
  const writes = Array.from({ length: 16 }, async () => queue.write(Buffer.alloc(64 * 1024)));
  state.room = Number.POSITIVE_INFINITY;
  clock.advance(1);
  await Promise.all(writes);
  // One notice of room a turn: 128 KiB in each.
  expect([state.taken.length, state.rooms]).toEqual([1024 * 1024, 8]);
});

it('refuses what waits and what comes when the terminal is gone', async () => {
  const { clock, state, queue } = setUp(0);
  const waiting = queue.write(Buffer.from('x'));
  state.broken = true;
  clock.advance(1);
  await expect(waiting).rejects.toMatchObject({ reason: 'EXITED' });
  await expect(queue.write(Buffer.from('y'))).rejects.toMatchObject({ reason: 'EXITED' });
  expect([queue.bytes, clock.pendingTimers, state.attempts]).toEqual([0, 0, 2]);
});
