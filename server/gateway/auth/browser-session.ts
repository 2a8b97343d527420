import type { SessionToken } from './session-token.ts';

/** A browser that magic links signed in: the tokens that its one cookie stands for, newest first. */
export type BrowserSession = { readonly tokens: readonly SessionToken[] };

/** Keeps browser sessions. Every method is one transaction, durable when it resolves. */
export interface BrowserSessionStore {
  /** The session of a cookie, by its hash. */
  find(hash: string): Promise<BrowserSession | undefined>;
  /**
   * Revokes the tokens of a session, of one sandbox or of all, and returns the ids of those that were
   * alive. A session that has none left is forgotten.
   */
  end(query: {
    readonly hash: string;
    readonly sandboxId: string | undefined;
    readonly now: number;
  }): Promise<{ readonly endedTokenIds: readonly string[]; readonly isGone: boolean }>;
  /** Forgets sessions whose tokens are all forgotten. */
  purge(): Promise<void>;
}
