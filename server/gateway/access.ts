import type { AuditTrail } from '../core/audit.ts';
import type { Clock } from '../core/clock.ts';
import type { DomainError } from '../core/domain-error.ts';
import type { Logger } from '../core/log.ts';
import { Authenticator } from './auth/authenticator.ts';
import { BrowserSessions } from './auth/browser-sessions.ts';
import { CallAuthentication } from './auth/call-authentication.ts';
import { CredentialRefresh } from './auth/credential-refresh.ts';
import { LinkRedemption } from './auth/link-redemption.ts';
import { MagicLinks } from './auth/magic-links.ts';
import { Previews } from './auth/previews.ts';
import type { RedirectOrigins } from './auth/redirect-url.ts';
import { tokenEnded } from './auth/refusals.ts';
import { DEFAULT_EXPIRES_IN_MS, SessionTokens, type TokenEnded } from './auth/session-tokens.ts';
import { SigningKeys } from './auth/signing-keys.ts';
import { TokenUsage } from './auth/token-usage.ts';
import type { Identities } from './identities.ts';
import type { LiveCallRegistry } from './proxy/live-call-registry.ts';
import type { Store } from './store/store.ts';

export type AccessOptions = {
  readonly store: Store;
  readonly identities: Identities;
  readonly calls: LiveCallRegistry;
  readonly audit: AuditTrail;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly origins: () => RedirectOrigins;
  /** Why browsers would not keep our cookie. Undefined: they do. */
  readonly cookiesUnavailable: () => string | undefined;
  /** Throws NOT_FOUND unless the workspace has this sandbox. */
  readonly requireSandbox: (sandboxId: string, workspaceId: string) => void;
  /** Hears of every token that ended. */
  readonly onTokenEnded?: (tokenId: string, cause: DomainError) => void;
};

/** Everything that decides who may do what, wired together. */
export class Access {
  readonly tokens: SessionTokens;
  readonly links: MagicLinks;
  readonly redemption: LinkRedemption;
  readonly sessions: BrowserSessions;
  readonly refresh: CredentialRefresh;
  readonly authentication: CallAuthentication;
  readonly previews: Previews;
  readonly #options: AccessOptions;
  /** Checks API keys and the text of session tokens. */
  readonly bearer: Authenticator;
  readonly #usage: TokenUsage;
  readonly #keys: SigningKeys;

  private constructor(options: AccessOptions) {
    const { store, identities, audit, clock, logger } = options;
    const { apiKey, signer, linkSecrets: secrets } = identities;
    const onEnded: TokenEnded = (tokenId, cause) => this.#endToken(tokenId, cause);
    const usage = new TokenUsage({ store: store.sessionTokens, clock, logger });
    const bearer = new Authenticator({ apiKey, signer, usage, logger, store: store.sessionTokens });
    const { requireSandbox, origins, cookiesUnavailable } = options;
    this.#options = options;
    this.#usage = usage;
    this.#keys = new SigningKeys({ ...{ store: store.identity, signer, audit, clock } });
    this.bearer = bearer;
    this.tokens = new SessionTokens({
      ...{ store: store.sessionTokens, signer, usage, audit, clock, requireSandbox, onEnded },
    });
    this.refresh = new CredentialRefresh({
      ...{ store: store.sessionTokens, signer, audit, clock },
      onChanged: (tokenId) => bearer.renewToken(tokenId),
    });
    this.sessions = new BrowserSessions({
      ...{ store: store.browserSessions, bearer, usage, audit, clock, onEnded },
    });
    this.authentication = new CallAuthentication({ bearer, sessions: this.sessions });
    this.previews = new Previews({ store: store.previewPasses, bearer, clock });
    this.links = new MagicLinks({
      ...{ store: store.magicLinks, secrets, audit, clock, requireSandbox, origins },
      defaultTokenExpiresInMs: DEFAULT_EXPIRES_IN_MS,
      unavailable: cookiesUnavailable,
    });
    this.redemption = new LinkRedemption({
      ...{
        store: store.magicLinks,
        secrets,
        sessions: this.sessions,
        usage,
        audit,
        clock,
        onEnded,
      },
      signingKeyId: () => signer.signingKeyId,
    });
  }

  /** Wires everything, and from then on ends what other processes end. */
  static async open(options: AccessOptions): Promise<Access> {
    const access = new Access(options);
    await access.#keys.refresh();
    await options.store.tokenEndings.start(
      async (endings) => {
        for (const { tokenId, reason } of endings)
          void access.#endToken(tokenId, tokenEnded(reason));
        await access.#keys.refresh();
      },
      (error) => options.logger.error('cannot read what other processes changed', { error }),
    );
    return access;
  }

  /** Refuses every token of a sandbox from now on, and ends its live calls. */
  endSandbox(sandboxId: string, cause: DomainError): void {
    this.bearer.endSandbox(sandboxId, cause);
    this.sessions.forgetSandbox(sandboxId);
    this.previews.forget(sandboxId);
    this.#options.calls.endSandbox(sandboxId, cause);
  }

  /** Forgets what ended long ago. Never rejects. */
  async purge(): Promise<void> {
    const { store, logger } = this.#options;
    try {
      await this.tokens.purge();
      await this.links.purge();
      await this.sessions.purge();
      await this.previews.purge();
      await store.tokenEndings.purge();
      await this.#keys.refresh();
    } catch (error) {
      logger.error('cannot forget what ended', { error });
    }
  }

  /** Writes down what is not written yet. */
  close(): Promise<void> {
    return this.#usage.flush();
  }

  #endToken(tokenId: string, cause: DomainError): Promise<void> {
    this.bearer.endToken(tokenId, cause);
    this.sessions.forgetToken(tokenId);
    this.previews.forget(tokenId);
    this.#options.onTokenEnded?.(tokenId, cause);
    return this.#options.calls.endPrincipal(tokenId, cause);
  }
}
