import { durationMs } from '@bufbuild/protobuf/wkt';
import type { MagicLink as LinkRecord } from '../gen/computesdk/v1/magic_link_pb.ts';
import { newRequestId } from './connection/request-id.ts';
import { SandboxError } from './errors.ts';
import type { Gateway } from './gateway.ts';
import { collectPages, followPages } from './pages.ts';
import type { Scope } from './session-tokens.ts';
import type { SignalOption } from './signal-option.ts';
import { toDate, toDuration, toOptionalDate } from './values.ts';

/** The record of a magic link, without its address. */
export interface MagicLink {
  /** Names the link. Not a secret, and not a part of the address. */
  readonly id: string;
  /** The sandbox that it opens. */
  readonly sandboxId: string;
  /** Where the browser goes after signing in: an absolute address. */
  readonly redirectUrl: string;
  /** Free text of whoever created it. Empty if none was given. */
  readonly description: string;
  /** What the browser may do, in alphabetical order. */
  readonly scopes: readonly string[];
  /** How long the browser stays signed in from the moment the link is used, in seconds. */
  readonly tokenExpiresIn: number;
  readonly createdAt: Date;
  /** When it can no longer be used. */
  readonly expiresAt: Date;
  /** When it was used. Undefined: it was not. */
  readonly usedAt: Date | undefined;
  /** When it was revoked. Undefined: it was not. */
  readonly revokedAt: Date | undefined;
  /** The session token that it became, to be revoked when the browser shall leave. */
  readonly sessionTokenId: string | undefined;
}

/** A magic link just created. The address is not to be had again. */
export interface CreatedMagicLink extends MagicLink {
  /** The one-time address, with the secret in it. Send it to nobody but the user. */
  readonly url: string;
}

/** Describes the magic link to create. */
export interface MagicLinkCreateOptions extends SignalOption {
  /**
   * Where the browser goes after signing in: a path of the app (the gateway's
   * COMPUTESDK_APP_ORIGIN), or an absolute address whose origin is allowed
   * (COMPUTESDK_ALLOWED_ORIGINS). Default: `/workspace`.
   */
  readonly redirectUrl?: string | undefined;
  /** How long the link can be used, in seconds, up to 30 days (2,592,000). Default: 15 minutes. */
  readonly expiresIn?: number | undefined;
  /** Free text, up to 256 characters, also of the session token that it becomes. Default: none. */
  readonly description?: string | undefined;
  /** What the browser may do. Default: everything. */
  readonly scopes?: readonly Scope[] | undefined;
  /** How long the browser stays signed in, in seconds, up to 30 days. Default: 7 days. */
  readonly tokenExpiresIn?: number | undefined;
}

/** Selects magic links. */
export interface MagicLinkListOptions extends SignalOption {
  /** How many a request asks for, 1 to 500. Default: 100. */
  readonly pageSize?: number | undefined;
}

/** The magic links of a sandbox. Backend only: they take the API key. */
export class MagicLinks {
  readonly #gateway: Gateway;
  readonly #sandboxId: string;

  /** @internal */
  constructor(gateway: Gateway, sandboxId: string) {
    this.#gateway = gateway;
    this.#sandboxId = sandboxId;
  }

  /**
   * Creates a one-time address that signs a browser in to this sandbox. Opening it consumes
   * nothing: it shows a page with one button. Retried under the hood, it never makes a second one.
   *
   * @throws SandboxError `invalid_argument` (`field` names the option, for example a `redirectUrl`
   * whose origin is not allowed), `failed_precondition` (browsers would not keep the cookie of this
   * gateway; the message says why), `limit_reached` (1,000 links of a sandbox), `rate_limited`,
   * `unauthenticated`, `not_found`, `unreachable`, `canceled`.
   *
   * @example
   * const link = await sandbox.magicLink.create({ redirectUrl: '/workspace' });
   * await sendEmail(user.email, `Open your workspace: ${link.url} (until ${link.expiresAt})`);
   */
  async create(options: MagicLinkCreateOptions = {}): Promise<CreatedMagicLink> {
    const { redirectUrl = '', description = '', scopes = [], signal } = options;
    const { expiresIn, tokenExpiresIn } = options;
    const request = {
      requestId: newRequestId(),
      sandboxId: this.#sandboxId,
      redirectUrl,
      description,
      scopes: [...scopes],
      ...(expiresIn !== undefined && { expiresIn: toDuration('expiresIn', expiresIn, 'seconds') }),
      ...(tokenExpiresIn !== undefined && {
        tokenExpiresIn: toDuration('tokenExpiresIn', tokenExpiresIn, 'seconds'),
      }),
    };
    const { magicLink, url } = await this.#gateway.call(
      (attempt) => this.#gateway.magicLinks.createMagicLink(request, { signal: attempt }),
      { signal },
    );
    return { ...toMagicLink(magicLink), url };
  }

  /** The links that can still be used, oldest first. */
  list(options: MagicLinkListOptions = {}): Promise<MagicLink[]> {
    return collectPages(this.pages(options));
  }

  /** The same as {@link MagicLinks.list}, page by page. */
  pages(options: MagicLinkListOptions = {}): AsyncIterable<readonly MagicLink[]> {
    const { pageSize = 0, signal } = options;
    return followPages(async (pageToken) => {
      const request = { sandboxId: this.#sandboxId, pageSize, pageToken };
      const { magicLinks, nextPageToken } = await this.#gateway.call(
        (attempt) => this.#gateway.magicLinks.listMagicLinks(request, { signal: attempt }),
        { signal },
      );
      return { items: magicLinks.map(toMagicLink), nextPageToken };
    });
  }

  /**
   * Revokes a link: from when this resolves it cannot be used. A browser that it signed in before
   * stays signed in; revoke its session token for that. Idempotent.
   *
   * @throws SandboxError `not_found` if the sandbox never had such a link.
   *
   * @example
   * await sandbox.magicLink.revoke(link.id);
   */
  async revoke(id: string, options: SignalOption = {}): Promise<void> {
    const request = { sandboxId: this.#sandboxId, magicLinkId: id };
    await this.#gateway.call(
      (attempt) => this.#gateway.magicLinks.revokeMagicLink(request, { signal: attempt }),
      options,
    );
  }
}

function toMagicLink(record: LinkRecord | undefined): MagicLink {
  if (!record) throw new SandboxError('internal', 'the gateway answered without a magic link');
  const { tokenExpiresIn } = record;
  return {
    id: record.id,
    sandboxId: record.sandboxId,
    redirectUrl: record.redirectUrl,
    description: record.description,
    scopes: record.scopes,
    tokenExpiresIn: tokenExpiresIn ? durationMs(tokenExpiresIn) / 1000 : 0,
    createdAt: toDate(record.createdAt),
    expiresAt: toDate(record.expiresAt),
    usedAt: toOptionalDate(record.usedAt),
    revokedAt: toOptionalDate(record.revokedAt),
    sessionTokenId: record.sessionTokenId || undefined,
  };
}
