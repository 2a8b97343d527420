import type { AuditClient, AuditTrail } from '../../core/audit.ts';
import type { Clock } from '../../core/clock.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import type { Caller, TokenCaller } from './caller.ts';
import type { SessionToken, SessionTokenStore } from './session-token.ts';
import { ENDED_TOKEN_MEMORY_MS } from './session-tokens.ts';
import type { TokenSigner } from './token-signer.ts';

/** Subjects that a token goes by beside its own id. Above it those that were inherited longest ago go. */
export const MAX_SUBJECTS = 8;

export type CredentialRefreshOptions = {
  readonly store: Pick<SessionTokenStore, 'inherit'>;
  readonly signer: TokenSigner;
  readonly clock: Clock;
  /** Makes the next call of a token read its record. Called when the store has it. */
  readonly onChanged: (tokenId: string) => void;
  readonly audit: AuditTrail;
};

/** Lets a session token take the place of an earlier one of the same sandbox. */
export class CredentialRefresh {
  readonly #options: CredentialRefreshOptions;

  constructor(options: CredentialRefreshOptions) {
    this.#options = options;
  }

  /**
   * Makes readers and writers of the earlier token the caller's. Resolves with whether they are:
   * false when the earlier token is none of this sandbox's, was revoked or is forgotten.
   * Idempotent. Throws FAILED_PRECONDITION for an API key or a cookie.
   */
  async refresh(caller: Caller, previousText: string, client: AuditClient = {}): Promise<boolean> {
    const { id: tokenId } = requireToken(caller).principal;
    if (previousText === '') throw invalidArgument('previousToken', 'is needed');
    const { store, signer, clock, onChanged, audit } = this.#options;
    const claims = await signer.verify(previousText);
    if (!claims) return false;
    if (claims.jti === tokenId) return true;
    const now = clock.now();
    const token = await store.inherit({ tokenId, previousId: claims.jti }, (successor, previous) =>
      signer.matches(claims, previous) && isInheritable(successor, previous, now)
        ? inheritedSubjects(successor, previous)
        : undefined,
    );
    if (!token) return false;
    onChanged(token.id);
    audit.record({
      ...{ event: 'session_token.refreshed', actor: tokenId, ...client },
      ...{ sandboxId: token.sandboxId, subject: claims.jti, result: tokenId },
    });
    return true;
  }
}

/**
 * The subjects of a token that takes the place of `previous`. The foremost one is handed down
 * unchanged, however long the chain is: what the first token's successors make belongs to it.
 */
export function inheritedSubjects(
  token: Pick<SessionToken, 'subjects'>,
  previous: Pick<SessionToken, 'id' | 'subjects'>,
): readonly string[] {
  const [foremost = previous.id, ...others] = previous.subjects;
  const all = new Set([foremost, previous.id, ...others, ...token.subjects]);
  return [...all].slice(0, MAX_SUBJECTS);
}

function isInheritable(token: SessionToken, previous: SessionToken, now: number): boolean {
  if (token.sandboxId !== previous.sandboxId) return false;
  if (previous.endReason !== null && previous.endReason !== 'EXPIRED') return false;
  return previous.expiresAt > now - ENDED_TOKEN_MEMORY_MS;
}

function requireToken(caller: Caller): TokenCaller {
  if (caller.kind === 'session_token' && caller.via === 'bearer') return caller;
  throw new DomainError(
    'FAILED_PRECONDITION',
    'only a session token in the Authorization header can take the place of an earlier one, no API key and no cookie',
  );
}
