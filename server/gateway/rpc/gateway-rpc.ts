import type { ConnectRouter } from '@connectrpc/connect';
import { AuthService } from '../../../gen/computesdk/v1/auth_service_pb.ts';
import { MagicLinkService } from '../../../gen/computesdk/v1/magic_link_service_pb.ts';
import { SandboxService } from '../../../gen/computesdk/v1/sandbox_service_pb.ts';
import { SessionTokenService } from '../../../gen/computesdk/v1/session_token_service_pb.ts';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import { type HttpHandler, rpcHandler } from '../../rpc/connect-node.ts';
import type { Access } from '../access.ts';
import type { Authentication } from '../auth/authentication.ts';
import type { ClientAddresses } from '../http/client-address.ts';
import type { Sandboxes } from '../sandbox/sandbox-service.ts';
import { authService } from './auth-service.ts';
import { contextOf } from './call-context.ts';
import { callGate } from './call-gate.ts';
import { CallLog } from './call-log.ts';
import { magicLinkService } from './magic-link-service.ts';
import { sandboxService } from './sandbox-service.ts';
import { sessionTokenService } from './session-token-service.ts';

/** The services that this gateway serves for callers with a credential. */
export const GATEWAY_SERVICES = [
  SandboxService,
  SessionTokenService,
  MagicLinkService,
  AuthService,
] as const;

export type GatewayRpcOptions = {
  readonly sandboxes: Sandboxes;
  readonly access: Access;
  readonly authentication: Authentication;
  readonly clients: ClientAddresses;
  readonly sandboxUrl: (sandboxId: string) => string;
  /** The address of a magic link's secret. */
  readonly linkUrl: (secret: string) => string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Registers the services that need no credential. */
  readonly publicRoutes?: (router: ConnectRouter) => void;
  readonly shutdownSignal?: AbortSignal;
  /** Takes the requests whose path is no method of the gateway. */
  readonly fallback: HttpHandler;
};

/** The services of the gateway, and what stands before them: authentication, authorization, the log. */
export function gatewayRpc(options: GatewayRpcOptions): HttpHandler {
  const { authentication, clock, logger, shutdownSignal } = options;
  const callLog = new CallLog({ clock, logger });
  return rpcHandler({
    routes: gatewayRoutes(options),
    requestGate: callGate({ authentication, clock, callLog }),
    interceptors: [callLog.interceptor()],
    contextValues: (request) => contextOf(request, options.clients),
    fallback: options.fallback,
    ...(shutdownSignal && { shutdownSignal }),
  });
}

/** The routes of the gateway's services. */
function gatewayRoutes(
  options: Pick<
    GatewayRpcOptions,
    'sandboxes' | 'access' | 'sandboxUrl' | 'linkUrl' | 'publicRoutes'
  >,
): (router: ConnectRouter) => void {
  const { access, linkUrl } = options;
  return (router) => {
    router.service(SandboxService, sandboxService(options));
    router.service(SessionTokenService, sessionTokenService(access.tokens));
    router.service(MagicLinkService, magicLinkService({ links: access.links, linkUrl }));
    router.service(AuthService, authService(access));
    options.publicRoutes?.(router);
  };
}
