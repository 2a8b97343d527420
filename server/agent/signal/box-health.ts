import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import type { Clock, Timer } from '../../core/clock.ts';
import type { SignalLimits } from './limits.ts';

/** Room on a disk. */
export type DiskRoom = { readonly bytes: number; readonly files: number };

export type BoxHealthOptions = {
  readonly clock: Clock;
  readonly limits: Pick<SignalLimits, 'healthMs' | 'diskRoomBytes'>;
  /** Room where the project is, for its user. Undefined: not known. */
  readonly diskRoom: () => Promise<DiskRoom | undefined>;
  /** How many programs were killed for lack of memory, ever. Undefined: not known here. */
  readonly memoryKills: () => number | undefined;
  readonly raise: (failure: { readonly message: string; readonly source: string }) => void;
};

/** Raises an error when the disk gets full, and when programs were killed for lack of memory. */
export class BoxHealth {
  readonly #options: BoxHealthOptions;
  #timer: Timer | undefined;
  #isDiskFull = false;
  #kills: number | undefined;
  #isRunning = false;

  constructor(options: BoxHealthOptions) {
    this.#options = options;
  }

  /** Looks from now on. What was before is no news. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#kills = this.#options.memoryKills();
    void this.#look();
  }

  stop(): void {
    this.#isRunning = false;
    this.#timer?.clear();
  }

  async #look(): Promise<void> {
    const { clock, limits, diskRoom } = this.#options;
    this.#checkMemory();
    this.#checkDisk(await diskRoom().catch(() => undefined));
    if (!this.#isRunning) return;
    this.#timer?.clear();
    this.#timer = clock.setTimer(() => void this.#look(), limits.healthMs);
  }

  #checkMemory(): void {
    const before = this.#kills;
    const kills = this.#options.memoryKills();
    this.#kills = kills;
    if (before === undefined || kills === undefined || kills <= before) return;
    const count = kills - before === 1 ? 'a program was' : `${kills - before} programs were`;
    this.#options.raise({ message: `${count} killed for lack of memory`, source: 'memory' });
  }

  #checkDisk(room: DiskRoom | undefined): void {
    if (!room) return;
    const { limits, raise } = this.#options;
    const isFull = room.bytes < limits.diskRoomBytes || room.files === 0;
    // Told again only after there was clearly more room, not whenever a file comes and goes.
    const isRoomy = room.bytes >= 2 * limits.diskRoomBytes && room.files > 0;
    if (isFull && !this.#isDiskFull) {
      const what = room.files === 0 ? 'no file can be made' : `${toMib(room.bytes)} MiB are left`;
      raise({ message: `the disk of /project is full: ${what}`, source: 'disk' });
    }
    if (isFull) this.#isDiskFull = true;
    else if (isRoomy) this.#isDiskFull = false;
  }
}

/** Room on the disk of a directory, for users that are not root. */
export async function readDiskRoom(directory: string): Promise<DiskRoom> {
  const { bavail, bsize, files, ffree } = await statfs(directory);
  // Some file systems do not count files.
  return { bytes: bavail * bsize, files: files === 0 ? Number.POSITIVE_INFINITY : ffree };
}

/**
 * How many programs the kernel killed for lack of memory in this process's own cgroup. Undefined where
 * that cannot be seen, which is so in a bubblewrap box: it has no /sys.
 */
export function readMemoryKills(): number | undefined {
  const groups = read('/proc/self/cgroup');
  const unified = /^0::(.*)$/m.exec(groups)?.[1];
  const memory = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(groups)?.[1];
  const files = [
    ...(memory === undefined ? [] : [`/sys/fs/cgroup/memory${memory}/memory.oom_control`]),
    ...(unified === undefined ? [] : [`/sys/fs/cgroup${unified}/memory.events`]),
  ];
  return files.map((path) => parseMemoryKills(read(path))).find((kills) => kills !== undefined);
}

/** The count in `memory.events` (cgroup v2) or `memory.oom_control` (v1). */
export function parseMemoryKills(text: string): number | undefined {
  const count = /^oom_kill (\d+)$/m.exec(text)?.[1];
  return count === undefined ? undefined : Number(count);
}

function toMib(bytes: number): number {
  return Math.floor(bytes / 1024 ** 2);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
