import type { AuditActor, AuditClient, AuditTrail } from '../../core/audit.ts';
import {
  checkDuration,
  checkLine,
  checkMetadata,
  checkRequestId,
  type Metadata,
  type Page,
  pageTokenAfter,
} from '../../core/bounds.ts';
import type { Clock } from '../../core/clock.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { isId, newId } from '../../core/id.ts';
import { isScope, SCOPES, type Scope } from '../../core/principal.ts';
import { tokenEnded } from './refusals.ts';
import type { SessionToken, SessionTokenStore } from './session-token.ts';
import type { TokenSigner } from './token-signer.ts';
import type { TokenUsage } from './token-usage.ts';

/** Live session tokens of one sandbox. Above it creation fails with LIMIT_REACHED. */
export const MAX_LIVE_TOKENS = 1000;
/** Session tokens kept of one sandbox, ended ones included. Above it the oldest ended one is forgotten. */
const MAX_KEPT_TOKENS = 10_000;
/** How long an ended token's record can still be read, in milliseconds. */
export const ENDED_TOKEN_MEMORY_MS = 24 * 60 * 60_000;
/** The longest description, in characters. */
export const MAX_DESCRIPTION_CHARS = 256;
/** How long a token lives if the caller does not say, in milliseconds. */
export const DEFAULT_EXPIRES_IN_MS = 7 * 24 * 60 * 60_000;
/** How long a token may live. */
export const EXPIRES_IN = {
  minMs: 1000,
  maxMs: 30 * 24 * 60 * 60_000,
  range: '1 second to 30 days',
};

/**
 * Refuses new calls of a token and ends its live ones, at once. Called when the store has it.
 * Resolves when the clients have read what they were sent before or were cut.
 */
export type TokenEnded = (tokenId: string, cause: DomainError) => Promise<void>;

/** The API key that acts, and the workspace it acts for. */
export type Owner = {
  readonly workspaceId: string;
  readonly principalId: string;
  /** Where its request came from, for the audit log. */
  readonly client?: AuditClient;
};

export type CreateTokenRequest = {
  readonly requestId: string;
  readonly sandboxId: string;
  readonly description: string;
  /** Milliseconds. Absent: the default. */
  readonly expiresInMs?: number;
  /** Empty: every scope. */
  readonly scopes: readonly string[];
  readonly metadata: Metadata;
};

export type SessionTokensOptions = {
  readonly store: SessionTokenStore;
  readonly signer: TokenSigner;
  readonly usage: TokenUsage;
  readonly clock: Clock;
  /** Throws NOT_FOUND unless the workspace has this sandbox. */
  readonly requireSandbox: (sandboxId: string, workspaceId: string) => void;
  readonly onEnded: TokenEnded;
  readonly audit: AuditTrail;
};

/** Creates, lists and revokes the session tokens of sandboxes. */
export class SessionTokens {
  readonly #options: SessionTokensOptions;

  constructor(options: SessionTokensOptions) {
    this.#options = options;
  }

  /** Creates a token. The same request id gives the same token and the same text. */
  async create(
    owner: Owner,
    request: CreateTokenRequest,
  ): Promise<{ token: SessionToken; text: string }> {
    const { store, signer, clock } = this.#options;
    const { sandboxId } = request;
    const createdAt = clock.now();
    const draft = {
      id: newId('tok'),
      sandboxId,
      description: checkLine('description', request.description, { max: MAX_DESCRIPTION_CHARS }),
      scopes: checkScopes(request.scopes),
      metadata: checkMetadata(request.metadata),
      signingKeyId: signer.signingKeyId,
      createdAt,
      expiresAt:
        createdAt +
        checkDuration('expiresIn', request.expiresInMs ?? DEFAULT_EXPIRES_IN_MS, EXPIRES_IN),
      request: {
        principalId: owner.principalId,
        method: 'CreateSessionToken',
        requestId: checkRequestId(request.requestId),
      },
      liveLimit: MAX_LIVE_TOKENS,
      keptLimit: MAX_KEPT_TOKENS,
    };
    this.#options.requireSandbox(sandboxId, owner.workspaceId);
    const insertion = await store.insert(draft);
    switch (insertion.kind) {
      case 'limit':
        throw new DomainError(
          'LIMIT_REACHED',
          `the sandbox has ${MAX_LIVE_TOKENS} live session tokens, the most it can have: revoke some`,
        );
      case 'no_sandbox':
        throw new DomainError('NOT_FOUND', `no sandbox ${sandboxId}`, { field: 'sandboxId' });
      case 'repeated':
        if (insertion.token.sandboxId !== sandboxId) {
          throw invalidArgument('requestId', 'was used for a token of another sandbox');
        }
        return {
          token: this.#withUsage(insertion.token),
          text: await signer.sign(insertion.token),
        };
      case 'created':
        this.#options.audit.record({
          ...{ event: 'session_token.created', ...actorOf(owner) },
          ...{ sandboxId, subject: insertion.token.id },
        });
        return { token: insertion.token, text: await signer.sign(insertion.token) };
    }
  }

  /** A token's record, also after it ended (for {@link ENDED_TOKEN_MEMORY_MS}). */
  async get(owner: Owner, key: { sandboxId: string; tokenId: string }): Promise<SessionToken> {
    return this.#withUsage(await this.#find(owner, key));
  }

  /** Live tokens, oldest first, and where the next page begins. */
  async list(
    owner: Owner,
    query: { sandboxId: string; page: Page },
  ): Promise<{ tokens: readonly SessionToken[]; nextPageToken: string }> {
    const { sandboxId, page } = query;
    this.#options.requireSandbox(sandboxId, owner.workspaceId);
    // One more than the page holds, to know whether there is a next one.
    const wanted = { ...page, size: page.size + 1 };
    const now = this.#options.clock.now();
    const tokens = await this.#options.store.list({ sandboxId, now, page: wanted });
    const shown = tokens.slice(0, page.size);
    const last = shown.at(-1);
    return {
      tokens: shown.map((token) => this.#withUsage(token)),
      nextPageToken: last && tokens.length > page.size ? pageTokenAfter(last.sequence) : '',
    };
  }

  /**
   * Revokes a token: durable, refused, its live calls ended, and nothing of them on its way any more
   * when this resolves. Idempotent.
   */
  async revoke(owner: Owner, key: { sandboxId: string; tokenId: string }): Promise<void> {
    const token = await this.#find(owner, key);
    await this.#options.store.end(token.id, 'REVOKED', this.#options.clock.now());
    const ended = this.#options.onEnded(token.id, tokenEnded('REVOKED'));
    const { id: subject, sandboxId } = token;
    // Revoking what has ended changes nothing.
    if (!token.endReason) {
      this.#options.audit.record({
        ...{ event: 'session_token.revoked', ...actorOf(owner), sandboxId, subject },
      });
    }
    await ended;
  }

  /** Revokes every live token of a sandbox, as {@link revoke} does. Resolves with how many there were. */
  async revokeAll(owner: Owner, sandboxId: string): Promise<number> {
    this.#options.requireSandbox(sandboxId, owner.workspaceId);
    const ids = await this.#options.store.revokeAll(sandboxId, this.#options.clock.now());
    const cause = tokenEnded('REVOKED');
    const ended = ids.map((id) => this.#options.onEnded(id, cause));
    this.#options.audit.record({
      ...{ event: 'session_token.revoked_all', ...actorOf(owner), sandboxId, count: ids.length },
    });
    await Promise.all(ended);
    return ids.length;
  }

  /** Forgets tokens that ended long ago. */
  purge(): Promise<void> {
    return this.#options.store.purge(this.#options.clock.now() - ENDED_TOKEN_MEMORY_MS);
  }

  async #find(owner: Owner, key: { sandboxId: string; tokenId: string }): Promise<SessionToken> {
    const { sandboxId, tokenId } = key;
    this.#options.requireSandbox(sandboxId, owner.workspaceId);
    if (!isId('tok', tokenId)) {
      throw invalidArgument(
        'sessionTokenId',
        'must be `tok` and 26 letters and digits, as CreateSessionToken returned it',
      );
    }
    const token = await this.#options.store.get(tokenId);
    if (token?.sandboxId === sandboxId) return token;
    throw new DomainError('NOT_FOUND', `the sandbox has no session token ${tokenId}`, {
      field: 'sessionTokenId',
    });
  }

  #withUsage(token: SessionToken): SessionToken {
    return { ...token, lastUsedAt: this.#options.usage.lastUsedAt(token.id, token.lastUsedAt) };
  }
}

/** The API key that acts, as the audit log names it. */
export function actorOf({ principalId, client }: Owner): AuditActor {
  return { actor: principalId, ...client };
}

/** The scopes asked for, each once and in alphabetical order; all of them if none is. Throws INVALID_ARGUMENT. */
export function checkScopes(scopes: readonly string[]): readonly Scope[] {
  if (scopes.length === 0) return SCOPES;
  const known = new Set<Scope>();
  for (const scope of scopes) {
    if (!isScope(scope)) throw invalidArgument('scopes', `must be among ${SCOPES.join(', ')}`);
    known.add(scope);
  }
  return [...known].sort();
}
