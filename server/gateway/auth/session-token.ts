import type { Metadata, Page } from '../../core/bounds.ts';
import type { Scope } from '../../core/principal.ts';

/** Why a session token ended before its time, or at it. */
export type EndReason = 'REVOKED' | 'EXPIRED' | 'DESTROYED';

/** How a session token came to be: by a call of its owner, or by the use of a magic link. */
export type TokenKind = 'created' | 'magic_link';

/** All that is kept of a session token; its text is not. Times are milliseconds since the epoch. */
export type SessionToken = {
  /** Orders tokens by creation; only grows. */
  readonly sequence: number;
  readonly id: string;
  readonly kind: TokenKind;
  /**
   * Subjects of tokens whose place it took, beside its own id: their readers and writers are its own.
   * The first one, if any, is its foremost subject.
   */
  readonly subjects: readonly string[];
  readonly sandboxId: string;
  readonly description: string;
  /** In alphabetical order. */
  readonly scopes: readonly Scope[];
  readonly metadata: Metadata;
  /** The key that signs its text. */
  readonly signingKeyId: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  /** Null: never. */
  readonly lastUsedAt: number | null;
  /** Null: it did not end, or nobody noticed that it expired. */
  readonly endedAt: number | null;
  /** Why it ended. Null as long as `endedAt` is. Once set it never changes. */
  readonly endReason: EndReason | null;
};

/** A token to be kept, and the request that asked for it. */
export type NewSessionToken = Omit<
  SessionToken,
  'sequence' | 'kind' | 'subjects' | 'lastUsedAt' | 'endedAt' | 'endReason'
> & {
  readonly request: {
    readonly principalId: string;
    readonly method: string;
    readonly requestId: string;
  };
  /** The most live tokens that the sandbox may have. */
  readonly liveLimit: number;
  /** The most tokens kept of the sandbox, ended ones included. Above it the oldest ended one goes. */
  readonly keptLimit: number;
};

/** What came of a {@link NewSessionToken}. */
export type TokenInsertion =
  | { readonly kind: 'created'; readonly token: SessionToken }
  /** The same request made this token before. */
  | { readonly kind: 'repeated'; readonly token: SessionToken }
  | { readonly kind: 'limit' }
  /** The sandbox does not exist or is being destroyed. */
  | { readonly kind: 'no_sandbox' };

/** Keeps session tokens. Every method is one transaction, durable when it resolves. */
export interface SessionTokenStore {
  insert(token: NewSessionToken): Promise<TokenInsertion>;
  get(id: string): Promise<SessionToken | undefined>;
  /** Tokens of a sandbox that are neither revoked nor expired, oldest first. */
  list(query: {
    readonly sandboxId: string;
    readonly now: number;
    readonly page: Page;
  }): Promise<readonly SessionToken[]>;
  /**
   * Gives a token the subjects that `merge` makes of it and an earlier one, and returns it as it is
   * then. Undefined, and nothing changes, if one of them is not kept or `merge` returns nothing.
   */
  inherit(
    ids: { readonly tokenId: string; readonly previousId: string },
    merge: (token: SessionToken, previous: SessionToken) => readonly string[] | undefined,
  ): Promise<SessionToken | undefined>;
  /** Ends a token, if it has not ended. */
  end(id: string, reason: EndReason, now: number): Promise<void>;
  /** Revokes all live tokens of a sandbox and returns their ids. */
  revokeAll(sandboxId: string, now: number): Promise<readonly string[]>;
  /** Keeps when each token was last used. */
  saveLastUsed(lastUsedAt: ReadonlyMap<string, number>): Promise<void>;
  /** Forgets tokens that ended before this time, at most a thousand at once. */
  purge(endedBefore: number): Promise<void>;
}

/** A token that ended. */
export type TokenEnding = { readonly tokenId: string; readonly reason: EndReason };

/** Tells which tokens ended, also when another process on the same store ended them. */
export interface TokenEndingFeed {
  /**
   * Begins to tell, from now on, whenever another process has changed anything; without an ending if
   * there was none. Endings of this process are told too, now and then.
   */
  start(
    onChanged: (endings: readonly TokenEnding[]) => Promise<void>,
    onError: (error: unknown) => void,
  ): Promise<void>;
  /** Forgets what every process has read. */
  purge(): Promise<void>;
}
