import type { ConnectRouter } from '@connectrpc/connect';
import { SignalService } from '../../gen/computesdk/v1/signal_service_pb.ts';
import { TerminalService } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { WatcherService } from '../../gen/computesdk/v1/watcher_service_pb.ts';
import { Health } from '../../gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as AlphaReflection } from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import type { AuditTrail } from '../core/audit.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/log.ts';
import type { HttpHandler } from '../rpc/connect-node.ts';
import { MethodTable } from '../rpc/method-table.ts';
import type { Access } from './access.ts';
import type { Addresses } from './addresses.ts';
import type { PublicKeys } from './auth/token-signer.ts';
import { addressLimiter } from './http/address-limiter.ts';
import { answerNotFound } from './http/answers.ts';
import type { ClientAddresses } from './http/client-address.ts';
import { GuardedAuthentication } from './http/guarded-authentication.ts';
import { HostGuard } from './http/host-guard.ts';
import { createHttpHandler, SANDBOX_PREFIX } from './http/http-handler.ts';
import { createMagicPage, MAGIC_PREFIX } from './http/magic-page.ts';
import { OriginGuard } from './http/origin-guard.ts';
import type { UpgradeHandler } from './http/upgrade.ts';
import type { WebFiles } from './http/web-files.ts';
import { createWorkspacePage } from './http/workspace-page.ts';
import { CredentialSpotter } from './preview/credential-spotter.ts';
import { createPreviewFront } from './preview/preview-front.ts';
import { PreviewHosts } from './preview/preview-hosts.ts';
import type { LiveCallRegistry } from './proxy/live-call-registry.ts';
import { createSandboxProxy } from './proxy/sandbox-proxy.ts';
import { GATEWAY_SERVICES, gatewayRpc } from './rpc/gateway-rpc.ts';
import { healthService } from './rpc/health-service.ts';
import { accessOf } from './rpc/method-access.ts';
import { reflectionServices } from './rpc/reflection-service.ts';
import type { Sandboxes } from './sandbox/sandbox-service.ts';
import { createSocketUpgrade } from './socket/socket-upgrade.ts';

/** The services that run inside sandboxes. */
const AGENT_SERVICES = [TerminalService, WatcherService, SignalService] as const;
const SHOWN_SERVICES = [
  ...GATEWAY_SERVICES,
  ...AGENT_SERVICES,
  Health,
  ServerReflection,
  AlphaReflection,
];

export type FrontOptions = {
  readonly addresses: Addresses;
  readonly sandboxes: Sandboxes;
  readonly access: Access;
  readonly calls: LiveCallRegistry;
  readonly publicKeys: () => PublicKeys;
  /** The built workspace page. Undefined when it was not built. */
  readonly webFiles: WebFiles | undefined;
  readonly clients: ClientAddresses;
  /** Why sandboxes may show nothing in browsers, whatever the addresses are. Undefined: they may. */
  readonly previewsUnavailable?: string | undefined;
  readonly audit: AuditTrail;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Aborts when the gateway begins to stop. */
  readonly stopping: AbortSignal;
};

/** What clients talk to. */
export type Front = {
  readonly handler: HttpHandler;
  /** Takes requests for WebSockets. */
  readonly upgrade: UpgradeHandler;
  /** Why the settings leave no previews, although the driver would. Undefined: there are some. */
  readonly previewProblem: string | undefined;
  /** Ends every connection to an agent. End the calls first. */
  close(): void;
};

/** Puts the guards, the gateway's services and the way into sandboxes together. */
export function createFront(options: FrontOptions): Front {
  const { addresses, access, sandboxes, clients, clock, logger, stopping } = options;
  const { publicUrl } = addresses;
  const limiter = addressLimiter(clock);
  const authentication = new GuardedAuthentication({
    ...{ inner: access.authentication, audit: options.audit, addresses: limiter, clock },
  });
  const hosts = new PreviewHosts(addresses);
  const unavailable = () => options.previewsUnavailable ?? hosts.cleartextProblem;
  const methods = new MethodTable([...GATEWAY_SERVICES, Health, ServerReflection, AlphaReflection]);
  const controlPlane = gatewayRpc({
    ...{ sandboxes, access, authentication, clients, clock, logger },
    sandboxUrl: (sandboxId) => `${publicUrl}${SANDBOX_PREFIX}${sandboxId}`,
    linkUrl: (secret) => `${publicUrl}${MAGIC_PREFIX}${secret}`,
    previewUrl: (at, ticket) => hosts.urlOf(at, ticket),
    previewsUnavailable: unavailable,
    publicRoutes: publicRoutes(stopping),
    shutdownSignal: stopping,
    fallback: (request, response) => answerNotFound(response, request.url ?? ''),
  });
  const agentMethods = new MethodTable(AGENT_SERVICES);
  const proxy = createSandboxProxy({
    ...{ accessOf, controlPlane: controlPlane.handler, calls: options.calls, clock, log: logger },
    agentMethods,
    gatewayMethods: methods,
    ...{ authentication, clients },
    openSandbox: async (sandboxId, caller) => void sandboxes.requireForCall(sandboxId, caller),
    endpoint: (sandboxId, signal) => sandboxes.endpoint(sandboxId, signal),
  });
  const hostGuard = new HostGuard(addresses.allowedHosts);
  const originGuard = new OriginGuard(addresses);
  const upgrade = createSocketUpgrade({
    ...{ hostGuard, originGuard, clients, stopping },
    services: {
      ...{ authentication, accessOf, agentMethods, gatewayFrames: controlPlane.frames },
      requireSandbox: (sandboxId, caller) => void sandboxes.requireForCall(sandboxId, caller),
      endpoint: (sandboxId, signal) => sandboxes.endpoint(sandboxId, signal),
      ...{ calls: options.calls, clock, log: logger },
    },
  });
  const handler = createHttpHandler({
    ...{ methods, controlPlane: controlPlane.handler, log: logger, hostGuard, originGuard },
    sandboxes: proxy.handler,
    magicLinks: createMagicPage({
      ...{ links: access.links, redemption: access.redemption, publicUrl, clock, log: logger },
      ...{ clients, addresses: limiter },
      sandboxName: (sandboxId) => sandboxes.nameOf(sandboxId),
    }),
    workspace: createWorkspacePage({
      ...{ publicUrl, files: options.webFiles, log: logger },
      newestSandbox: (cookies) => access.sessions.newestSandbox(cookies),
    }),
    jwks: options.publicKeys,
    isServing: () => !stopping.aborted,
  });
  const previews = createPreviewFront({
    ...{ previews: access.previews, hosts, unavailable, clients, addresses: limiter, clock },
    ...{ authentication, calls: options.calls, log: logger },
    spotter: new CredentialSpotter((text) => access.bearer.isApiKey(text)),
    isPublic: ({ sandboxId, port }) => sandboxes.isPublic(sandboxId, port),
    hostOf: ({ sandboxId }) => sandboxes.previewHostOf(sandboxId),
    endpoint: (sandboxId, signal) => sandboxes.endpoint(sandboxId, signal),
  });
  return {
    // The API is never served at a preview's host, and previews at no other.
    handler: previews.before(handler),
    upgrade: previews.beforeUpgrade(upgrade),
    previewProblem: options.previewsUnavailable === undefined ? hosts.cleartextProblem : undefined,
    close: () => {
      proxy.close();
      previews.close();
    },
  };
}

function publicRoutes(stopping: AbortSignal): (router: ConnectRouter) => void {
  const reflection = reflectionServices(SHOWN_SERVICES);
  return (router) => {
    router.service(Health, healthService({ services: SHOWN_SERVICES, stopping }));
    router.service(ServerReflection, reflection.v1);
    router.service(AlphaReflection, reflection.v1alpha);
  };
}
