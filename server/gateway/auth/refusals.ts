import { DomainError } from '../../core/domain-error.ts';
import type { EndReason } from './session-token.ts';

/** The answer to every credential that is missing, malformed, forged or unknown: it tells them apart for nobody. */
export function unauthenticated(): DomainError {
  return new DomainError(
    'UNAUTHENTICATED',
    'a valid credential is needed: send `Authorization: Bearer <API key or session token>`',
  );
}

/** The answer to a cookie that opens nothing at this address. */
export function notSignedIn(): DomainError {
  return new DomainError(
    'UNAUTHENTICATED',
    'this browser is not signed in to this sandbox: open a magic link of it, or send a session token',
  );
}

/** The answer to a genuine session token that ended. */
export function tokenEnded(reason: EndReason): DomainError {
  switch (reason) {
    case 'REVOKED':
      return new DomainError('REVOKED', 'the session token was revoked');
    case 'EXPIRED':
      return new DomainError('EXPIRED', 'the session token has expired');
    case 'DESTROYED':
      return new DomainError('DESTROYED', 'the sandbox of this session token was destroyed');
  }
}
