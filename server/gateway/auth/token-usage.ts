import type { Clock, Timer } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionTokenStore } from './session-token.ts';

/** How late the store learns that a token was used, in milliseconds. */
export const USAGE_FLUSH_MS = 5000;

export type TokenUsageOptions = {
  readonly store: Pick<SessionTokenStore, 'saveLastUsed'>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Remembers when tokens were last used, and writes it down in batches. Holds one entry per token used since. */
export class TokenUsage {
  readonly #options: TokenUsageOptions;
  /** Not written yet. */
  #fresh = new Map<string, number>();
  /** Being written now; kept for readers until the store has them. */
  #writing: ReadonlyMap<string, number> = new Map();
  #timer: Timer | undefined;
  #write: Promise<void> = Promise.resolve();

  constructor(options: TokenUsageOptions) {
    this.#options = options;
  }

  /** Notes a use. Cheap enough for every call. */
  touch(tokenId: string, now: number): void {
    this.#fresh.set(tokenId, now);
    this.#timer ??= this.#options.clock.setTimer(() => void this.flush(), USAGE_FLUSH_MS);
  }

  /** When the token was last used, given what the store says. */
  lastUsedAt(tokenId: string, stored: number | null): number | null {
    return this.#fresh.get(tokenId) ?? this.#writing.get(tokenId) ?? stored;
  }

  /** Writes down what is not written yet. Never rejects: a use that cannot be written is logged and lost. */
  flush(): Promise<void> {
    this.#timer?.clear();
    this.#timer = undefined;
    this.#write = this.#write.then(() => this.#flushOnce());
    return this.#write;
  }

  async #flushOnce(): Promise<void> {
    this.#writing = this.#fresh;
    this.#fresh = new Map();
    try {
      await this.#options.store.saveLastUsed(this.#writing);
    } catch (error) {
      this.#options.logger.error('cannot keep when session tokens were used', { error });
    }
    this.#writing = new Map();
  }
}
