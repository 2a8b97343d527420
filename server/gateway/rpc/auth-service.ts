import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import { type AuthService, PrincipalKind } from '../../../gen/computesdk/v1/auth_service_pb.ts';
import { DomainError } from '../../core/domain-error.ts';
import { FRAMES } from '../../rpc/served-call.ts';
import type { BrowserSessions } from '../auth/browser-sessions.ts';
import type { CredentialRefresh } from '../auth/credential-refresh.ts';
import { endedSessionCookie } from '../auth/session-cookie.ts';
import { auditClientOf, callerOf, SANDBOX_ID } from './call-context.ts';

export type AuthServiceOptions = {
  readonly sessions: BrowserSessions;
  readonly refresh: CredentialRefresh;
};

/** Serves `computesdk.v1.AuthService`. */
export function authService({
  sessions,
  refresh,
}: AuthServiceOptions): ServiceImpl<typeof AuthService> {
  return {
    whoAmI(_request, context) {
      const caller = callerOf(context);
      switch (caller.kind) {
        case 'api_key':
          return {
            kind: PrincipalKind.API_KEY,
            id: caller.principal.id,
            sandboxId: context.values.get(SANDBOX_ID) ?? '',
          };
        case 'session_token':
          return {
            kind:
              caller.via === 'cookie' ? PrincipalKind.BROWSER_SESSION : PrincipalKind.SESSION_TOKEN,
            id: caller.principal.id,
            sandboxId: caller.sandboxId,
            scopes: [...caller.principal.scopes],
            expiresAt: timestampFromMs(caller.expiresAt),
          };
      }
    },
    async refreshCredential({ previousToken }, context) {
      const caller = callerOf(context);
      if (context.values.get(SANDBOX_ID) === undefined) {
        throw new DomainError('FAILED_PRECONDITION', "call it below a sandbox's address");
      }
      const continued = await refresh.refresh(caller, previousToken, auditClientOf(context));
      const { principal } = caller;
      return {
        continued,
        sessionTokenId: principal.id,
        scopes: [...principal.scopes],
        ...(caller.kind === 'session_token' && { expiresAt: timestampFromMs(caller.expiresAt) }),
      };
    },
    async signOut({ all }, context) {
      const caller = callerOf(context);
      if (caller.kind !== 'session_token' || caller.via !== 'cookie') {
        throw new DomainError(
          'FAILED_PRECONDITION',
          'only a browser that a magic link signed in can sign out: revoke a session token instead',
        );
      }
      if (context.protocolName === FRAMES) {
        throw new DomainError(
          'FAILED_PRECONDITION',
          'a WebSocket cannot take the cookie away: sign out over HTTP',
        );
      }
      const cookies = context.requestHeader.get('cookie') ?? undefined;
      const actor = { actor: caller.principal.id, ...auditClientOf(context) };
      const isGone = await sessions.signOut(cookies, all ? undefined : caller.sandboxId, actor);
      if (isGone) context.responseHeader.append('Set-Cookie', endedSessionCookie());
      return {};
    },
  };
}
