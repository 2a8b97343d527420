import { randomInt } from 'node:crypto';

/** Whether the counts of the soak run are asked for. */
export const isSoak = process.env['COMPUTESDK_SOAK'] === '1';

/** A count that is run in full by the soak, at a tenth otherwise, and never below one. */
export function scaled(count: number): number {
  const factor = Number(process.env['COMPUTESDK_SCALE'] ?? (isSoak ? 1 : 0.1));
  return Math.max(1, Math.round(count * factor));
}

/**
 * The seed of this run: `COMPUTESDK_SEED`, which vitest.config.ts draws, or a new one. It is printed
 * with every report, and at the end of a run that failed.
 */
export const seed: number = Number(process.env['COMPUTESDK_SEED'] ?? randomInt(2 ** 31));

/** Numbers that look random and are the same for the same seed. */
export interface SeededRandom {
  /** A whole number from 0 up to, without, `limit`. */
  below(limit: number): number;
  /** True with this probability. */
  chance(probability: number): boolean;
  bytes(length: number): Buffer<ArrayBuffer>;
}

/** A generator (mulberry32) with a state of its own, so that draws of one part do not shift another's. */
export function seededRandom(start: number): SeededRandom {
  let state = start >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    below: (limit) => Math.floor(next() * limit),
    chance: (probability) => next() < probability,
    bytes: (length) => {
      const bytes = Buffer.alloc(length);
      for (let at = 0; at < length; at++) bytes[at] = Math.floor(next() * 256);
      return bytes;
    },
  };
}
