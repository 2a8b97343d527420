import type { AuditClient, AuditTrail } from '../../core/audit.ts';
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
export const REPEAT_WITHIN_MS = 60_000;

export type LinkRedemptionOptions = {
  readonly store: MagicLinkStore;
  readonly secrets: LinkSecrets;
  readonly sessions: BrowserSessions;
  readonly usage: TokenUsage;
  readonly clock: Clock;
  /** The key that tokens name. A browser's token has no text that it would sign. */
  readonly signingKeyId: () => string;
  readonly onEnded: TokenEnded;
  readonly audit: AuditTrail;
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
  | {
      readonly kind: 'ended';
      readonly reason: LinkEndReason | 'EXPIRED';
      readonly link: MagicLink;
    }
  /** The sandbox has as many live tokens as it can have. */
  | { readonly kind: 'limit'; readonly link: MagicLink }
  | { readonly kind: 'unknown' };

/** Turns magic links into signed-in browsers. */
export class LinkRedemption {
  readonly #options: LinkRedemptionOptions;

  constructor(options: LinkRedemptionOptions) {
    this.#options = options;
  }

  /** Uses a link up. Of any number of attempts at once exactly one signs a browser in. */
  async redeem(
    secret: string,
    cookies: string | undefined,
    client: AuditClient = {},
  ): Promise<RedemptionOutcome> {
    const outcome = await this.#redeem(secret, cookies);
    this.#record(outcome, client);
    return outcome;
  }

  async #redeem(secret: string, cookies: string | undefined): Promise<RedemptionOutcome> {
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
    if (result.kind === 'ended' || result.kind === 'limit') return { ...result, link };
    if (result.kind === 'redeemed') {
      if (former !== undefined) sessions.forget(former);
      for (const id of result.endedTokenIds) void onEnded(id, tokenEnded('REVOKED'));
    }
    const expiresAt = (await sessions.expiryOf(cookie)) ?? result.token.expiresAt;
    const isRepeated = result.kind === 'repeated';
    return { kind: 'signed_in', link, token: result.token, cookie, expiresAt, isRepeated };
  }

  #record(outcome: RedemptionOutcome, client: AuditClient): void {
    const { audit } = this.#options;
    if (outcome.kind !== 'signed_in') {
      const link = outcome.kind === 'unknown' ? undefined : outcome.link;
      audit.record({
        ...{ event: 'magic_link.refused', actor: 'unknown', ...client },
        reason: outcome.kind === 'ended' ? outcome.reason : outcome.kind.toUpperCase(),
        ...(link && { subject: link.id, sandboxId: link.sandboxId }),
      });
      return;
    }
    if (outcome.isRepeated) return;
    const { link, token } = outcome;
    const common = { actor: token.id, sandboxId: link.sandboxId, ...client };
    audit.record({ event: 'magic_link.used', subject: link.id, result: token.id, ...common });
    audit.record({ event: 'browser.signed_in', subject: token.id, ...common });
  }
}

function foundIn(cookie: CookieValue): string | undefined {
  return cookie.kind === 'found' && cookie.value !== '' ? cookie.value : undefined;
}
