import { expect, it } from 'vitest';
import {
  BoxHealth,
  type DiskRoom,
  parseMemoryKills,
  readDiskRoom,
} from '../../../../server/agent/signal/box-health.ts';
import { SIGNAL_LIMITS } from '../../../../server/agent/signal/limits.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const MIB = 1024 * 1024;

function scene() {
  const clock = new FakeClock();
  const raised: string[] = [];
  const box: { room: DiskRoom; kills: number | undefined } = {
    room: { bytes: 1000 * MIB, files: 1000 },
    kills: 3,
  };
  const health = new BoxHealth({
    ...{ clock, limits: SIGNAL_LIMITS },
    diskRoom: async () => box.room,
    memoryKills: () => box.kills,
    raise: ({ source, message }) => raised.push(`${source}: ${message}`),
  });
  const later = () => clock.advanceAsync(10_000, 1000);
  return { clock, raised, box, health, later };
}

it('raises a full disk once, and again after there was room', async () => {
  const { clock, raised, box, health, later } = scene();
  health.start();
  await later();
  box.room = { bytes: 2 * MIB, files: 1000 };
  await later();
  box.room = { bytes: 20 * MIB, files: 1000 };
  await later();
  box.room = { bytes: 3 * MIB, files: 1000 };
  await later();
  expect(raised).toEqual(['disk: the disk of /project is full: 2 MiB are left']);
  box.room = { bytes: 32 * MIB, files: 1000 };
  await later();
  box.room = { bytes: 32 * MIB, files: 0 };
  await later();
  expect(raised.slice(1)).toEqual(['disk: the disk of /project is full: no file can be made']);
  health.stop();
  await later();
  expect(clock.pendingTimers).toBe(0);
});

it('raises programs that are killed for lack of memory from its start on', async () => {
  const { raised, box, health, later } = scene();
  health.start();
  await later();
  box.kills = 4;
  await later();
  box.kills = 6;
  await later();
  await later();
  health.stop();
  expect(raised).toEqual([
    'memory: a program was killed for lack of memory',
    'memory: 2 programs were killed for lack of memory',
  ]);
  box.kills = 9;
  health.start();
  await later();
  expect(raised).toHaveLength(2);
  health.stop();
});

it('reads the count of both versions of cgroups', () => {
  expect(parseMemoryKills('low 0\nhigh 0\nmax 7\noom 2\noom_kill 5\noom_group_kill 0\n')).toBe(5);
  expect(parseMemoryKills('oom_kill_disable 0\nunder_oom 0\noom_kill 1\n')).toBe(1);
  expect(parseMemoryKills('')).toBeUndefined();
  expect(parseMemoryKills('oom_kill many')).toBeUndefined();
});

it('knows the room of a real disk', async () => {
  const { bytes, files } = await readDiskRoom('.');
  expect(bytes).toBeGreaterThan(0);
  expect(files).toBeGreaterThan(0);
});
