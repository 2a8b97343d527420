import type { Clock } from './clock.ts';

export type RateLimitOptions = {
  /** The most uses at once, after a rest. */
  readonly burst: number;
  /** How many uses come back in a second. */
  readonly perSecond: number;
  /** The most keys remembered. Above it those unused for longest are forgotten: they begin anew. */
  readonly maxKeys: number;
  readonly clock: Pick<Clock, 'monotonic'>;
};

type Bucket = {
  /** What was left at `at`. From 0 to the burst. */
  tokens: number;
  at: number;
};

/** Token buckets by key. A use of a known key costs a look-up in a Map and arithmetic. */
export class RateLimit {
  readonly #options: RateLimitOptions;
  readonly #perMs: number;
  /** At most half of the keys. When it is full it becomes {@link #old}, and what was there is forgotten. */
  #young = new Map<string, Bucket>();
  #old: ReadonlyMap<string, Bucket> = new Map();

  constructor(options: RateLimitOptions) {
    this.#options = options;
    this.#perMs = options.perSecond / 1000;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Takes one use. Returns 0, or how many milliseconds it takes until there is one. */
  take(key: string): number {
    const bucket = this.#young.get(key) ?? this.#revive(key);
    this.#refill(bucket);
    if (bucket.tokens < 1) return (1 - bucket.tokens) / this.#perMs;
    bucket.tokens -= 1;
    return 0;
  }

  /** As {@link take}, without taking. */
  wait(key: string): number {
    const bucket = this.#young.get(key) ?? this.#old.get(key);
    if (!bucket) return 0;
    this.#refill(bucket);
    return bucket.tokens < 1 ? (1 - bucket.tokens) / this.#perMs : 0;
  }

  #refill(bucket: Bucket): void {
    const now = this.#options.clock.monotonic();
    bucket.tokens = Math.min(this.#options.burst, bucket.tokens + (now - bucket.at) * this.#perMs);
    bucket.at = now;
  }

  #revive(key: string): Bucket {
    const { burst, maxKeys, clock } = this.#options;
    const bucket = this.#old.get(key) ?? { tokens: burst, at: clock.monotonic() };
    if (this.#young.size >= maxKeys / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, bucket);
    return bucket;
  }
}
