import type { ConnectRouter } from '@connectrpc/connect';
import { AuthService } from '../../../gen/computesdk/v1/auth_service_pb.ts';
import { MagicLinkService } from '../../../gen/computesdk/v1/magic_link_service_pb.ts';
import { PreviewService } from '../../../gen/computesdk/v1/preview_service_pb.ts';
import { SandboxService } from '../../../gen/computesdk/v1/sandbox_service_pb.ts';
import { SessionTokenService } from '../../../gen/computesdk/v1/session_token_service_pb.ts';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import { type HttpHandler, rpcHandler } from '../../rpc/connect-node.ts';
import { type FrameRoutes, frameRoutes } from '../../rpc/frame-routes.ts';
import type { FrameServerOptions } from '../../rpc/frame-server.ts';
import type { Access } from '../access.ts';
import type { Authentication } from '../auth/authentication.ts';
import type { ClientAddresses } from '../http/client-address.ts';
import type { Sandboxes } from '../sandbox/sandbox-service.ts';
import { authService } from './auth-service.ts';
import { contextOf } from './call-context.ts';
import { callGate } from './call-gate.ts';
import { CallLog } from './call-log.ts';
import { magicLinkService } from './magic-link-service.ts';
import { type PreviewServiceOptions, previewService } from './preview-service.ts';
import { sandboxService } from './sandbox-service.ts';
import { sessionTokenService } from './session-token-service.ts';

/** The services that this gateway serves for callers with a credential. */
export const GATEWAY_SERVICES = [
  SandboxService,
  SessionTokenService,
  MagicLinkService,
  AuthService,
  PreviewService,
] as const;

export type GatewayRpcOptions = {
  readonly sandboxes: Sandboxes;
  readonly access: Access;
  readonly authentication: Authentication;
  readonly clients: ClientAddresses;
  readonly sandboxUrl: (sandboxId: string) => string;
  /** The address of a magic link's secret. */
  readonly linkUrl: (secret: string) => string;
  readonly previewUrl: PreviewServiceOptions['previewUrl'];
  readonly previewsUnavailable: PreviewServiceOptions['previewsUnavailable'];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Registers the services that need no credential. */
  readonly publicRoutes?: (router: ConnectRouter) => void;
  readonly shutdownSignal?: AbortSignal;
  /** Takes the requests whose path is no method of the gateway. */
  readonly fallback: HttpHandler;
};

/** What serves calls in frames. */
export type GatewayFrames = Pick<FrameServerOptions, 'routes' | 'interceptors' | 'gate'>;

/** The gateway's services, for both ways that calls come. */
export type GatewayRpc = { readonly handler: HttpHandler; readonly frames: GatewayFrames };

/** The services of the gateway, and what stands before them: authentication, authorization, the log. */
export function gatewayRpc(options: GatewayRpcOptions): GatewayRpc {
  const { authentication, clock, logger, shutdownSignal } = options;
  const callLog = new CallLog({ clock, logger });
  const routes = gatewayRoutes(options);
  const gate = callGate({ authentication, clock, callLog });
  const interceptors = [callLog.interceptor()];
  const handler = rpcHandler({
    ...{ routes, requestGate: gate, interceptors },
    contextValues: (request) => contextOf(request, options.clients),
    fallback: options.fallback,
    ...(shutdownSignal && { shutdownSignal }),
  });
  return { handler, frames: { routes: unaryRoutes(routes), interceptors, gate } };
}

/** The methods that are no streams: those of the gateway have no use on a WebSocket. */
function unaryRoutes(routes: (router: ConnectRouter) => void): FrameRoutes {
  return new Map([...frameRoutes(routes)].filter(([, { kind }]) => kind === 'unary'));
}

/** The routes of the gateway's services. */
function gatewayRoutes(
  options: Pick<
    GatewayRpcOptions,
    | 'sandboxes'
    | 'access'
    | 'sandboxUrl'
    | 'linkUrl'
    | 'previewUrl'
    | 'previewsUnavailable'
    | 'publicRoutes'
  >,
): (router: ConnectRouter) => void {
  const { access, linkUrl } = options;
  return (router) => {
    router.service(SandboxService, sandboxService(options));
    router.service(SessionTokenService, sessionTokenService(access.tokens));
    router.service(MagicLinkService, magicLinkService({ links: access.links, linkUrl }));
    router.service(AuthService, authService(access));
    router.service(PreviewService, previewService({ ...options, previews: access.previews }));
    options.publicRoutes?.(router);
  };
}
