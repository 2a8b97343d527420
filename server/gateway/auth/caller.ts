import type { Principal } from '../../core/principal.ts';
import type { SessionToken } from './session-token.ts';

/** Whoever makes a call, as their credential proves it. */
export type Caller =
  | {
      readonly kind: 'api_key';
      /** The workspace whose sandboxes the key controls. */
      readonly workspaceId: string;
      readonly principal: Principal;
    }
  | {
      readonly kind: 'session_token';
      /** Whether the token itself proved it, or the cookie of a browser that a magic link signed in. */
      readonly via: 'bearer' | 'cookie';
      /** The one sandbox that the token opens. */
      readonly sandboxId: string;
      /** When the token ends, in milliseconds since the epoch. A live call ends with it. */
      readonly expiresAt: number;
      readonly principal: Principal;
    };

/** A caller that a session token stands behind. */
export type TokenCaller = Extract<Caller, { kind: 'session_token' }>;

/** The caller that a token makes. */
export function callerOfToken(token: SessionToken, via: TokenCaller['via']): TokenCaller {
  const { id, sandboxId, expiresAt, scopes } = token;
  const [subject = id] = token.subjects;
  return {
    ...{ kind: 'session_token', via, sandboxId, expiresAt },
    principal: { id, subject, subjects: [...new Set([...token.subjects, id])], scopes },
  };
}
