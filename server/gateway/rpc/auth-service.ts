import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import { type AuthService, PrincipalKind } from '../../../gen/computesdk/v1/auth_service_pb.ts';
import { DomainError } from '../../core/domain-error.ts';
import { callerOf, SANDBOX_ID } from './call-context.ts';

/** Serves `computesdk.v1.AuthService`. */
export function authService(): ServiceImpl<typeof AuthService> {
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
    refreshCredential() {
      throw new DomainError('FAILED_PRECONDITION', 'not built yet');
    },
    signOut() {
      throw new DomainError('FAILED_PRECONDITION', 'not built yet');
    },
  };
}
