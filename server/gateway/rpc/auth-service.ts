import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import { type AuthService, PrincipalKind } from '../../../gen/computesdk/v1/auth_service_pb.ts';
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
            kind: PrincipalKind.SESSION_TOKEN,
            id: caller.principal.id,
            sandboxId: caller.sandboxId,
            scopes: [...caller.principal.scopes],
            expiresAt: timestampFromMs(caller.expiresAt),
          };
      }
    },
  };
}
