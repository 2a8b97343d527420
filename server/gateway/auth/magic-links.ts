import type { AuditTrail } from '../../core/audit.ts';
import {
  checkDuration,
  checkLine,
  checkRequestId,
  type Page,
  pageTokenAfter,
} from '../../core/bounds.ts';
import type { Clock } from '../../core/clock.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { isId, newId } from '../../core/id.ts';
import { hashSecret, isSecret, type LinkSecrets, newSalt } from './link-secrets.ts';
import type { LinkEndReason, MagicLink, MagicLinkStore } from './magic-link.ts';
import { checkRedirectUrl, type RedirectOrigins } from './redirect-url.ts';
import {
  actorOf,
  checkScopes,
  EXPIRES_IN,
  MAX_DESCRIPTION_CHARS,
  type Owner,
} from './session-tokens.ts';

/** Magic links of one sandbox that can still be used. Above it creation fails with LIMIT_REACHED. */
export const MAX_LIVE_LINKS = 1000;
/** Magic links kept of one sandbox, ended ones included. Above it the oldest ended one is forgotten. */
const MAX_KEPT_LINKS = 10_000;
/** How long a link's record outlives the end of its time, in milliseconds. */
const ENDED_LINK_MEMORY_MS = 24 * 60 * 60_000;
/** How long a link can be used if the caller does not say, in milliseconds. */
export const DEFAULT_LINK_EXPIRES_IN_MS = 15 * 60_000;

export type CreateLinkRequest = {
  readonly requestId: string;
  readonly sandboxId: string;
  readonly redirectUrl: string;
  readonly description: string;
  /** Milliseconds. Absent: the default. */
  readonly expiresInMs?: number;
  /** Empty: every scope. */
  readonly scopes: readonly string[];
  /** Milliseconds. Absent: that of session tokens. */
  readonly tokenExpiresInMs?: number;
};

export type MagicLinksOptions = {
  readonly store: MagicLinkStore;
  readonly secrets: LinkSecrets;
  readonly clock: Clock;
  readonly origins: () => RedirectOrigins;
  /** How long a browser stays signed in if the caller does not say, in milliseconds. */
  readonly defaultTokenExpiresInMs: number;
  /** Why browsers would not keep the cookie. Undefined: they do. */
  readonly unavailable: () => string | undefined;
  /** Throws NOT_FOUND unless the workspace has this sandbox. */
  readonly requireSandbox: (sandboxId: string, workspaceId: string) => void;
  readonly audit: AuditTrail;
};

/** What the page of a link shows. */
export type LinkState =
  | { readonly kind: 'usable'; readonly link: MagicLink }
  | { readonly kind: 'ended'; readonly reason: LinkEndReason | 'EXPIRED' }
  | { readonly kind: 'unknown' };

/** Creates, lists and revokes magic links. */
export class MagicLinks {
  readonly #options: MagicLinksOptions;

  constructor(options: MagicLinksOptions) {
    this.#options = options;
  }

  /** Creates a link. The same request id gives the same link and the same secret. */
  async create(
    owner: Owner,
    request: CreateLinkRequest,
  ): Promise<{ link: MagicLink; secret: string }> {
    const { store, secrets } = this.#options;
    const unavailable = this.#options.unavailable();
    if (unavailable !== undefined) throw new DomainError('FAILED_PRECONDITION', unavailable);
    const draft = this.#draft(owner, request);
    this.#options.requireSandbox(draft.sandboxId, owner.workspaceId);
    const insertion = await store.insert(draft);
    switch (insertion.kind) {
      case 'limit':
        throw new DomainError(
          'LIMIT_REACHED',
          `the sandbox has ${MAX_LIVE_LINKS} magic links, the most it can have: revoke some`,
        );
      case 'no_sandbox':
        throw new DomainError('NOT_FOUND', `no sandbox ${draft.sandboxId}`, { field: 'sandboxId' });
      case 'repeated':
        if (insertion.link.sandboxId !== draft.sandboxId) {
          throw invalidArgument('requestId', 'was used for a magic link of another sandbox');
        }
        return { link: insertion.link, secret: secrets.ofLink(insertion.link) };
      case 'created':
        this.#record('magic_link.created', owner, insertion.link);
        return { link: insertion.link, secret: secrets.ofLink(insertion.link) };
    }
  }

  /** Links that can still be used, oldest first, and where the next page begins. */
  async list(
    owner: Owner,
    query: { sandboxId: string; page: Page },
  ): Promise<{ links: readonly MagicLink[]; nextPageToken: string }> {
    const { sandboxId, page } = query;
    this.#options.requireSandbox(sandboxId, owner.workspaceId);
    // One more than the page holds, to know whether there is a next one.
    const wanted = { ...page, size: page.size + 1 };
    const now = this.#options.clock.now();
    const links = await this.#options.store.list({ sandboxId, now, page: wanted });
    const shown = links.slice(0, page.size);
    const last = shown.at(-1);
    return {
      links: shown,
      nextPageToken: last && links.length > page.size ? pageTokenAfter(last.sequence) : '',
    };
  }

  /** Revokes a link: when this resolves it cannot be used. Idempotent. */
  async revoke(owner: Owner, key: { sandboxId: string; linkId: string }): Promise<void> {
    const { sandboxId, linkId } = key;
    this.#options.requireSandbox(sandboxId, owner.workspaceId);
    if (!isId('lnk', linkId)) {
      throw invalidArgument(
        'magicLinkId',
        'must be `lnk` and 26 letters and digits, as CreateMagicLink returned it',
      );
    }
    const link = await this.#options.store.get(linkId);
    if (link?.sandboxId !== sandboxId) {
      throw new DomainError('NOT_FOUND', `the sandbox has no magic link ${linkId}`, {
        field: 'magicLinkId',
      });
    }
    const isRevoked = await this.#options.store.revoke(linkId, this.#options.clock.now());
    if (isRevoked) this.#record('magic_link.revoked', owner, link);
  }

  /** What a link is worth now. Changes nothing. */
  async look(secret: string): Promise<LinkState> {
    const link = isSecret(secret)
      ? await this.#options.store.findByHash(hashSecret(secret))
      : undefined;
    if (!link) return { kind: 'unknown' };
    if (link.endReason !== null) return { kind: 'ended', reason: link.endReason };
    if (link.expiresAt <= this.#options.clock.now()) return { kind: 'ended', reason: 'EXPIRED' };
    return { kind: 'usable', link };
  }

  /** Forgets links that ended long ago. */
  purge(): Promise<void> {
    return this.#options.store.purge(this.#options.clock.now() - ENDED_LINK_MEMORY_MS);
  }

  #record(event: 'magic_link.created' | 'magic_link.revoked', owner: Owner, link: MagicLink): void {
    const { id: subject, sandboxId } = link;
    this.#options.audit.record({ ...{ event, subject, sandboxId }, ...actorOf(owner) });
  }

  #draft(owner: Owner, request: CreateLinkRequest) {
    const { clock, origins, secrets } = this.#options;
    const id = newId('lnk');
    const salt = newSalt();
    const createdAt = clock.now();
    const expiresInMs = request.expiresInMs ?? DEFAULT_LINK_EXPIRES_IN_MS;
    const tokenExpiresInMs = request.tokenExpiresInMs ?? this.#options.defaultTokenExpiresInMs;
    return {
      ...{ id, salt, createdAt, sandboxId: request.sandboxId },
      hash: hashSecret(secrets.ofLink({ id, salt })),
      redirectUrl: checkRedirectUrl(request.redirectUrl, origins()),
      description: checkLine('description', request.description, { max: MAX_DESCRIPTION_CHARS }),
      scopes: checkScopes(request.scopes),
      tokenExpiresInMs: checkDuration('tokenExpiresIn', tokenExpiresInMs, EXPIRES_IN),
      expiresAt: createdAt + checkDuration('expiresIn', expiresInMs, EXPIRES_IN),
      request: {
        principalId: owner.principalId,
        method: 'CreateMagicLink',
        requestId: checkRequestId(request.requestId),
      },
      liveLimit: MAX_LIVE_LINKS,
      keptLimit: MAX_KEPT_LINKS,
    };
  }
}
