import type { Clock } from '../../core/clock.ts';
import { newId } from '../../core/id.ts';
import type { BrowserSessions } from './browser-sessions.ts';
import { hashSecret, isSecret, type LinkSecrets, newSalt } from './link-secrets.ts';
import type { LinkEndReason, MagicLink, MagicLinkStore } from './magic-link.ts';
import { tokenEnded } from './refusals.ts';
import { type CookieValue, readNonceCookie, readSessionCookie } from './session-cookie.ts';
import type { SessionToken } from './session-token.ts';
import type { TokenEnded } from './session-tokens.ts';
import { MAX_LIVE_TOKENS } from './session-tokens.ts';
import type { TokenUsage } from './token-usage.ts';

/** Tokens that one browser may hold. Above it the oldest is revoked. */
export const MAX_BROWSER_GRANTS = 64;
/** How long after its use the browser that used a link may repeat that, in milliseconds. */
const REPEAT_WITHIN_MS = 60_000;

export type LinkRedemptionOptions = {
  readonly store: MagicLinkStore;
  readonly secrets: LinkSecrets;
  readonly sessions: BrowserSessions;
  readonly usage: TokenUsage;
  readonly clock: Clock;
  /** The key that tokens name. A browser's token has no text that it would sign. */
  readonly signingKeyId: () => string;
  readonly onEnded: TokenEnded;
};

/** What came of an attempt to use a link. */
export type RedemptionOutcome =
  | {
      readonly kind: 'signed_in';
      readonly link: MagicLink;
      readonly token: SessionToken;
      /** The browser's new cookie: a secret. */
      readonly cookie: string;
      /** When the cookie is worth nothing any more. */
      readonly expiresAt: number;
      /** Whether the browser only asked again for what it had got already. */
      readonly isRepeated: boolean;
    }
  | { readonly kind: 'ended'; readonly reason: LinkEndReason | 'EXPIRED' }
  /** The sandbox has as many live tokens as it can have. */
  | { readonly kind: 'limit' }
  | { readonly kind: 'unknown' };

/** Turns magic links into signed-in browsers. */
export class LinkRedemption {
  readonly #options: LinkRedemptionOptions;

  constructor(options: LinkRedemptionOptions) {
    this.#options = options;
  }

  /** Uses a link up. Of any number of attempts at once exactly one signs a browser in. */
  async redeem(secret: string, cookies: string | undefined): Promise<RedemptionOutcome> {
    const { store, secrets, sessions, usage, clock, signingKeyId, onEnded } = this.#options;
    const link = isSecret(secret) ? await store.findByHash(hashSecret(secret)) : undefined;
    if (!link) return { kind: 'unknown' };
    const nonce = foundIn(readNonceCookie(cookies));
    const former = foundIn(readSessionCookie(cookies));
    const cookie = secrets.ofSession(link, nonce ?? newSalt());
    const now = clock.now();
    const isUsed = link.tokenId !== null && usage.lastUsedAt(link.tokenId, null) !== null;
    const result = await store.redeem({
      ...{ linkId: link.id, now, repeatWithinMs: REPEAT_WITHIN_MS },
      nonceHash: nonce === undefined || isUsed ? null : hashSecret(nonce),
      sessionHash: hashSecret(cookie),
      formerSessionHash: former === undefined ? null : hashSecret(former),
      token: {
        id: newId('tok'),
        signingKeyId: signingKeyId(),
        expiresAt: now + link.tokenExpiresInMs,
      },
      liveTokenLimit: MAX_LIVE_TOKENS,
      grantLimit: MAX_BROWSER_GRANTS,
    });
    if (result.kind === 'ended' || result.kind === 'limit') return result;
    if (result.kind === 'redeemed') {
      if (former !== undefined) sessions.forget(former);
      for (const id of result.endedTokenIds) onEnded(id, tokenEnded('REVOKED'));
    }
    const expiresAt = (await sessions.expiryOf(cookie)) ?? result.token.expiresAt;
    const isRepeated = result.kind === 'repeated';
    return { kind: 'signed_in', link, token: result.token, cookie, expiresAt, isRepeated };
  }
}

function foundIn(cookie: CookieValue): string | undefined {
  return cookie.kind === 'found' && cookie.value !== '' ? cookie.value : undefined;
}
