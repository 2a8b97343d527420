/** How much of everything is measured. */
export type Scale = {
  readonly repeats: number;
  /** Keys of one repeat, one after another. */
  readonly keys: number;
  /** Keys of one repeat at a person's pace. */
  readonly slowKeys: number;
  /** Size of the files, in MB. */
  readonly megabytes: number;
  /** Keys beside floods. */
  readonly floodKeys: number;
  /** How many idle streams and sockets there are, one after another. */
  readonly idle: readonly number[];
  readonly sandboxesForIdle: number;
  /** Sandboxes and agents that are started one after another. */
  readonly starts: number;
  /** Calls of one repeat. */
  readonly calls: number;
  readonly terminals: number;
  readonly cuts: number;
  readonly growth: readonly number[];
};

export const FULL: Scale = {
  repeats: 7,
  keys: 300,
  slowKeys: 20,
  megabytes: 32,
  floodKeys: 400,
  idle: [200, 560, 920, 1_280, 1_640, 2_000],
  sandboxesForIdle: 8,
  starts: 15,
  calls: 2_000,
  terminals: 200,
  cuts: 25,
  growth: [1, 10, 100],
};

/** Enough to see that everything works. */
export const QUICK: Scale = {
  repeats: 1,
  keys: 10,
  slowKeys: 3,
  megabytes: 1,
  floodKeys: 10,
  idle: [4, 8],
  sandboxesForIdle: 2,
  starts: 1,
  calls: 20,
  terminals: 4,
  cuts: 2,
  growth: [1, 2],
};
