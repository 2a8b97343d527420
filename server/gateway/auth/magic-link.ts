import type { Page } from '../../core/bounds.ts';
import type { Scope } from '../../core/principal.ts';
import type { SessionToken } from './session-token.ts';

/** Why a magic link can no longer be used, beside the end of its time. */
export type LinkEndReason = 'USED' | 'REVOKED' | 'DESTROYED';

/** All that is kept of a magic link; its secret is not. Times are milliseconds since the epoch. */
export type MagicLink = {
  /** Orders links by creation; only grows. */
  readonly sequence: number;
  readonly id: string;
  readonly sandboxId: string;
  /** What its secret is derived with. */
  readonly salt: string;
  /** Absolute, and of an allowed origin when it was created. */
  readonly redirectUrl: string;
  readonly description: string;
  /** In alphabetical order. */
  readonly scopes: readonly Scope[];
  /** How long the browser stays signed in. */
  readonly tokenExpiresInMs: number;
  readonly createdAt: number;
  readonly expiresAt: number;
  /** Null: it did not end, or nobody noticed that it expired. */
  readonly endedAt: number | null;
  /** Null as long as `endedAt` is. Once set it never changes. */
  readonly endReason: LinkEndReason | null;
  /** The session token that it became. */
  readonly tokenId: string | null;
};

/** A link to be kept, and the request that asked for it. */
export type NewMagicLink = Omit<MagicLink, 'sequence' | 'endedAt' | 'endReason' | 'tokenId'> & {
  /** SHA-256 of the secret. */
  readonly hash: string;
  readonly request: {
    readonly principalId: string;
    readonly method: string;
    readonly requestId: string;
  };
  /** The most links of the sandbox that can still be used. */
  readonly liveLimit: number;
  /** The most links kept of the sandbox, ended ones included. Above it the oldest ended one goes. */
  readonly keptLimit: number;
};

/** What came of a {@link NewMagicLink}. */
export type LinkInsertion =
  | { readonly kind: 'created'; readonly link: MagicLink }
  /** The same request made this link before. */
  | { readonly kind: 'repeated'; readonly link: MagicLink }
  | { readonly kind: 'limit' }
  /** The sandbox does not exist or is being destroyed. */
  | { readonly kind: 'no_sandbox' };

/** One attempt to use a link. */
export type Redemption = {
  readonly linkId: string;
  readonly now: number;
  /** SHA-256 of the nonce of the browser that tries. Null: it has none, and cannot repeat. */
  readonly nonceHash: string | null;
  /** SHA-256 of the cookie that the browser gets. */
  readonly sessionHash: string;
  /** SHA-256 of the cookie that the browser has, whose grants the new one takes over. */
  readonly formerSessionHash: string | null;
  /** The session token that the link becomes. */
  readonly token: {
    readonly id: string;
    readonly signingKeyId: string;
    readonly expiresAt: number;
  };
  /** The most live tokens that the sandbox may have. */
  readonly liveTokenLimit: number;
  /** The most grants that a browser session may have. Above it the oldest end. */
  readonly grantLimit: number;
  /** Until how long after its use the winner may repeat it, in milliseconds. */
  readonly repeatWithinMs: number;
};

/** What came of a {@link Redemption}. */
export type RedemptionResult =
  | {
      readonly kind: 'redeemed';
      readonly link: MagicLink;
      readonly token: SessionToken;
      /** Tokens that had to end because the browser has too many. */
      readonly endedTokenIds: readonly string[];
    }
  /** The browser that used the link asks again because it did not get the answer. */
  | { readonly kind: 'repeated'; readonly link: MagicLink; readonly token: SessionToken }
  | { readonly kind: 'ended'; readonly reason: LinkEndReason | 'EXPIRED' }
  | { readonly kind: 'limit' };

/** Keeps magic links. Every method is one transaction, durable when it resolves. */
export interface MagicLinkStore {
  insert(link: NewMagicLink): Promise<LinkInsertion>;
  get(id: string): Promise<MagicLink | undefined>;
  findByHash(hash: string): Promise<MagicLink | undefined>;
  /** Links of a sandbox that can still be used, oldest first. */
  list(query: {
    readonly sandboxId: string;
    readonly now: number;
    readonly page: Page;
  }): Promise<readonly MagicLink[]>;
  /** Revokes a link, if it has not ended. Returns whether it did. */
  revoke(id: string, now: number): Promise<boolean>;
  /** Uses a link up. Of any number at once exactly one gets `redeemed`. */
  redeem(redemption: Redemption): Promise<RedemptionResult>;
  /** Forgets links that ended before this time, at most a thousand at once. */
  purge(endedBefore: number): Promise<void>;
}
