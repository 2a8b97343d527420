import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createRawServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServiceImpl } from '@connectrpc/connect';
import { AuthService, PrincipalKind } from '../../../../gen/computesdk/v1/auth_service_pb.ts';
import { TerminalService } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { Health } from '../../../../gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '../../../../gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionV1Alpha } from '../../../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { type Clock, systemClock } from '../../../../server/core/clock.ts';
import { DomainError } from '../../../../server/core/domain-error.ts';
import { newId } from '../../../../server/core/id.ts';
import { silentLogger } from '../../../../server/core/log.ts';
import type { Authentication } from '../../../../server/gateway/auth/authentication.ts';
import type { Caller } from '../../../../server/gateway/auth/caller.ts';
import { answerNotFound } from '../../../../server/gateway/http/answers.ts';
import { ClientAddresses } from '../../../../server/gateway/http/client-address.ts';
import { HostGuard } from '../../../../server/gateway/http/host-guard.ts';
import { createHttpHandler } from '../../../../server/gateway/http/http-handler.ts';
import { createListener, type ListenerTimes } from '../../../../server/gateway/http/listener.ts';
import { OriginGuard } from '../../../../server/gateway/http/origin-guard.ts';
import { sandboxOfRequest } from '../../../../server/gateway/http/sandbox-of-request.ts';
import { LiveCallRegistry } from '../../../../server/gateway/proxy/live-call-registry.ts';
import { createSandboxProxy } from '../../../../server/gateway/proxy/sandbox-proxy.ts';
import { healthService } from '../../../../server/gateway/rpc/health-service.ts';
import { accessOf } from '../../../../server/gateway/rpc/method-access.ts';
import { reflectionServices } from '../../../../server/gateway/rpc/reflection-service.ts';
import { createSocketUpgrade } from '../../../../server/gateway/socket/socket-upgrade.ts';
import { type HttpHandler, rpcHandler } from '../../../../server/rpc/connect-node.ts';
import { frameRoutes } from '../../../../server/rpc/frame-routes.ts';
import { MethodTable } from '../../../../server/rpc/method-table.ts';

export const SANDBOX_ID = newId('sbx');
export const TOKEN_ID = newId('tok');
export const TOKEN = 'a-session-token';
export const API_KEY = 'an-api-key';
export const READ_ONLY_TOKEN = 'a-token-that-may-only-read';

/** A gateway without a store: real listener, handler and proxy, made-up credentials. */
export type Gateway = {
  readonly port: number;
  readonly url: string;
  readonly sandboxUrl: string;
  readonly calls: LiveCallRegistry;
  close(): Promise<void>;
};

export type GatewayOptions = {
  readonly socketPath: string;
  readonly clock?: Clock;
  readonly publicUrl?: string;
  readonly allowedOrigins?: readonly string[];
  readonly allowedHosts?: readonly string[];
  /** Runs when a call asks for the address of the agent. */
  readonly beforeDial?: () => Promise<void>;
  readonly expiresAt?: number;
  /** Whether credentials are known already. Default: each is looked up. */
  readonly isCached?: boolean;
  readonly times?: Partial<ListenerTimes>;
};

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const clock = options.clock ?? systemClock;
  const calls = new LiveCallRegistry(clock);
  const stopping = new AbortController();
  const open = [Health, ServerReflection, ServerReflectionV1Alpha];
  const reflection = reflectionServices([AuthService, TerminalService, ...open]);
  const gatewayMethods = new MethodTable([AuthService, ...open]);
  const clients = new ClientAddresses([]);
  const hostGuard = new HostGuard(options.allowedHosts ?? []);
  const originGuard = new OriginGuard({
    publicUrl: options.publicUrl ?? 'http://localhost:4000',
    allowedOrigins: options.allowedOrigins ?? [],
  });
  const authentication: Authentication = {
    authenticate: async ({ authorization }) => authenticate(authorization, options),
    authenticateCached: ({ authorization }) =>
      options.isCached ? authenticate(authorization, options) : undefined,
    assertStillValid: () => {},
  };
  const requireSandbox = (sandboxId: string) => {
    if (sandboxId !== SANDBOX_ID) throw new DomainError('NOT_FOUND', 'there is no such sandbox');
  };
  const endpoint = async () => {
    await options.beforeDial?.();
    return { socketPath: options.socketPath };
  };
  const whoAmI: Partial<ServiceImpl<typeof AuthService>> = {
    whoAmI: (_request, context) => ({
      kind: PrincipalKind.SESSION_TOKEN,
      sandboxId: context.requestHeader.get('x-test-sandbox') ?? '',
    }),
  };
  const controlPlane: HttpHandler = rpcHandler({
    routes: (router) => {
      router.service(AuthService, whoAmI);
      router.service(Health, healthService({ services: [AuthService], stopping: stopping.signal }));
      router.service(ServerReflection, reflection.v1);
      router.service(ServerReflectionV1Alpha, reflection.v1alpha);
    },
    fallback: (request, response) => answerNotFound(response, request.url ?? ''),
  });
  const proxy = createSandboxProxy({
    agentMethods: new MethodTable([TerminalService]),
    gatewayMethods,
    controlPlane: (request, response) => {
      // The real control plane hands this over in the context of the call.
      request.headers['x-test-sandbox'] = sandboxOfRequest(request) ?? '';
      controlPlane(request, response);
    },
    ...{ authentication, clients, accessOf, endpoint },
    openSandbox: async (sandboxId) => requireSandbox(sandboxId),
    calls,
    clock,
    log: silentLogger,
  });
  const listener = await createListener({
    hosts: ['127.0.0.1', '::1'],
    port: 0,
    ...(options.times && { times: options.times }),
    upgrade: createSocketUpgrade({
      ...{ hostGuard, originGuard, clients, stopping: stopping.signal },
      services: {
        ...{ authentication, accessOf, endpoint, calls, clock, log: silentLogger },
        agentMethods: new MethodTable([TerminalService]),
        gatewayFrames: {
          routes: frameRoutes((router) => router.service(AuthService, whoAmI)),
          interceptors: [],
        },
        requireSandbox,
      },
    }),
    handler: createHttpHandler({
      ...{ hostGuard, originGuard },
      methods: gatewayMethods,
      controlPlane,
      sandboxes: proxy.handler,
      magicLinks: (_request, response) => void response.end(),
      workspace: (request, response) => answerNotFound(response, request.url ?? ''),
      jwks: () => ({ keys: [] }),
      isServing: () => !stopping.signal.aborted,
      log: silentLogger,
    }),
  });
  const url = `http://localhost:${listener.port}`;
  return {
    port: listener.port,
    url,
    sandboxUrl: `${url}/sandboxes/${SANDBOX_ID}`,
    calls,
    close: async () => {
      stopping.abort();
      await listener.close();
      proxy.close();
    },
  };
}

function authenticate(authorization: string | undefined, options: GatewayOptions): Caller {
  switch (authorization) {
    case `Bearer ${API_KEY}`:
      return {
        kind: 'api_key',
        workspaceId: 'w',
        principal: {
          id: 'key',
          subject: 'key',
          subjects: ['key'],
          scopes: ['terminal:read', 'terminal:write'],
        },
      };
    case `Bearer ${TOKEN}`:
    case `Bearer ${READ_ONLY_TOKEN}`: {
      const scopes = ['terminal:read' as const, 'terminal:write' as const];
      return {
        kind: 'session_token',
        via: 'bearer',
        sandboxId: SANDBOX_ID,
        expiresAt: options.expiresAt ?? Date.now() + 3_600_000,
        principal: {
          id: TOKEN_ID,
          subject: 'subject',
          subjects: ['subject', 'earlier'],
          scopes: authorization === `Bearer ${TOKEN}` ? scopes : scopes.slice(0, 1),
        },
      };
    }
    default:
      throw new DomainError('UNAUTHENTICATED', 'the credential is missing or not valid');
  }
}

/** Something that listens where an agent would. */
export type FakeAgent = { readonly socketPath: string; close(): Promise<void> };

/** An agent of bare HTTP, which may answer with anything. */
export function startAgent(listener: RequestListener): Promise<FakeAgent> {
  return listenOnSocket(createServer(listener));
}

/** An agent of bare bytes. `answer` is called when a request has begun. */
export function startRawAgent(answer: (socket: Socket) => void): Promise<FakeAgent> {
  return listenOnSocket(
    createRawServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => answer(socket));
    }),
  );
}

/** Lets a server listen where an agent would. */
export async function listenOnSocket(server: Server): Promise<FakeAgent> {
  const directory = mkdtempSync(join(tmpdir(), 'agent-'));
  const socketPath = join(directory, 'agent.sock');
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    socketPath,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true });
    },
  };
}

/** An agent that serves TerminalService over every protocol. */
export function startTerminalAgent(
  terminals: Partial<ServiceImpl<typeof TerminalService>>,
): Promise<FakeAgent> {
  const handler = rpcHandler({
    routes: (router) => router.service(TerminalService, terminals),
    fallback: (_request, response) => {
      response.statusCode = 404;
      response.end();
    },
  });
  return startAgent(handler);
}
