import {
  type SessionToken as TokenRecord,
  SessionTokenKind as WireTokenKind,
} from '../gen/computesdk/v1/session_token_pb.ts';
import { newRequestId } from './connection/request-id.ts';
import { SandboxError } from './errors.ts';
import type { Gateway } from './gateway.ts';
import { collectPages, followPages } from './pages.ts';
import type { SignalOption } from './signal-option.ts';
import { toDate, toDuration, toOptionalDate } from './values.ts';

/** What a session token can allow. */
export type Scope =
  | 'command:run'
  | 'files:read'
  | 'files:write'
  | 'preview:read'
  | 'signal:emit'
  | 'signal:read'
  | 'terminal:read'
  | 'terminal:write'
  | 'watch:read';

/** How a session token came to be. `magic_link`: its secret is the cookie of one browser. */
export type SessionTokenKind = 'created' | 'magic_link';

/** The record of a session token, without the secret. */
export interface SessionToken {
  /** Names the token. Not a secret. */
  readonly id: string;
  /** The sandbox that it opens. */
  readonly sandboxId: string;
  /** How it came to be: by `sessionToken.create`, or by the use of a magic link. */
  readonly kind: SessionTokenKind;
  /** Free text of whoever created it. Empty if none was given. */
  readonly description: string;
  /** What it allows, in alphabetical order. */
  readonly scopes: readonly string[];
  readonly createdAt: Date;
  readonly expiresAt: Date;
  /** When a call last used it, a few seconds late at the most. Undefined: never. */
  readonly lastUsedAt: Date | undefined;
  /** When it was revoked. Undefined: it was not. */
  readonly revokedAt: Date | undefined;
  /** Free-form text of the owner. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** A session token just created. The secret is not to be had again. */
export interface CreatedSessionToken extends SessionToken {
  /** The secret. Hand it to the front end, over TLS. */
  readonly token: string;
}

/** Describes the session token to create. */
export interface SessionTokenCreateOptions extends SignalOption {
  /** Free text, up to 256 characters. Default: none. */
  readonly description?: string | undefined;
  /** How long it lives, in seconds, up to 30 days (2,592,000). Default: 7 days. */
  readonly expiresIn?: number | undefined;
  /** What it allows. Default: everything. */
  readonly scopes?: readonly Scope[] | undefined;
  /** Up to 64 entries. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** Selects session tokens. */
export interface SessionTokenListOptions extends SignalOption {
  /** How many a request asks for, 1 to 500. Default: 100. */
  readonly pageSize?: number | undefined;
}

/** The session tokens of a sandbox. Backend only: they take the API key. */
export class SessionTokens {
  readonly #gateway: Gateway;
  readonly #sandboxId: string;

  /** @internal */
  constructor(gateway: Gateway, sandboxId: string) {
    this.#gateway = gateway;
    this.#sandboxId = sandboxId;
  }

  /**
   * Creates a token that opens this sandbox to a front end. Retried under the hood, it never makes
   * a second one.
   *
   * @throws SandboxError `invalid_argument` (`field` names the option), `limit_reached` (1,000
   * tokens of a sandbox), `unauthenticated`, `not_found`, `unreachable`, `canceled`.
   *
   * @example
   * const session = await sandbox.sessionToken.create({ description: 'User', expiresIn: 86400 });
   * response.json({ sandboxUrl: sandbox.url, token: session.token });
   */
  async create(options: SessionTokenCreateOptions = {}): Promise<CreatedSessionToken> {
    const { description = '', expiresIn, scopes = [], metadata = {}, signal } = options;
    const request = {
      requestId: newRequestId(),
      sandboxId: this.#sandboxId,
      description,
      scopes: [...scopes],
      metadata: { ...metadata },
      ...(expiresIn !== undefined && { expiresIn: toDuration('expiresIn', expiresIn, 'seconds') }),
    };
    const { sessionToken, token } = await this.#gateway.call(
      (attempt) => this.#gateway.sessionTokens.createSessionToken(request, { signal: attempt }),
      { signal },
    );
    return { ...toSessionToken(sessionToken), token };
  }

  /** The tokens that are neither revoked nor expired, oldest first. */
  list(options: SessionTokenListOptions = {}): Promise<SessionToken[]> {
    return collectPages(this.pages(options));
  }

  /** The same as {@link SessionTokens.list}, page by page. */
  pages(options: SessionTokenListOptions = {}): AsyncIterable<readonly SessionToken[]> {
    const { pageSize = 0, signal } = options;
    return followPages(async (pageToken) => {
      const request = { sandboxId: this.#sandboxId, pageSize, pageToken };
      const { sessionTokens, nextPageToken } = await this.#gateway.call(
        (attempt) => this.#gateway.sessionTokens.listSessionTokens(request, { signal: attempt }),
        { signal },
      );
      return { items: sessionTokens.map(toSessionToken), nextPageToken };
    });
  }

  /** A token's record by its id. @throws SandboxError `not_found`. */
  async retrieve(id: string, options: SignalOption = {}): Promise<SessionToken> {
    const request = { sandboxId: this.#sandboxId, sessionTokenId: id };
    const { sessionToken } = await this.#gateway.call(
      (attempt) => this.#gateway.sessionTokens.getSessionToken(request, { signal: attempt }),
      options,
    );
    return toSessionToken(sessionToken);
  }

  /**
   * Revokes a token: calls that start afterwards are refused, those under way have ended, and nothing
   * of them is on its way any more.
   * Idempotent. @throws SandboxError `not_found` if the sandbox never had it.
   */
  async revoke(id: string, options: SignalOption = {}): Promise<void> {
    const request = { sandboxId: this.#sandboxId, sessionTokenId: id };
    await this.#gateway.call(
      (attempt) => this.#gateway.sessionTokens.revokeSessionToken(request, { signal: attempt }),
      options,
    );
  }

  /** Revokes every token of the sandbox. Returns how many were alive. */
  async revokeAll(options: SignalOption = {}): Promise<number> {
    const request = { sandboxId: this.#sandboxId };
    const { revoked } = await this.#gateway.call(
      (attempt) => this.#gateway.sessionTokens.revokeAllSessionTokens(request, { signal: attempt }),
      options,
    );
    return revoked;
  }
}

function toSessionToken(record: TokenRecord | undefined): SessionToken {
  if (!record) throw new SandboxError('internal', 'the gateway answered without a session token');
  return {
    id: record.id,
    sandboxId: record.sandboxId,
    kind: record.kind === WireTokenKind.MAGIC_LINK ? 'magic_link' : 'created',
    description: record.description,
    scopes: record.scopes,
    createdAt: toDate(record.createdAt),
    expiresAt: toDate(record.expiresAt),
    lastUsedAt: toOptionalDate(record.lastUsedAt),
    revokedAt: toOptionalDate(record.revokedAt),
    metadata: record.metadata,
  };
}
