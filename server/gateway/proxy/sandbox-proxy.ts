import type { DescMethod } from '@bufbuild/protobuf';
import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { Logger } from '../../core/log.ts';
import { type CallForm, callForm } from '../../rpc/call-form.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';
import type { MethodTable } from '../../rpc/method-table.ts';
import { principalToHeaders } from '../../rpc/principal-headers.ts';
import type { Authentication, CallCredentials } from '../auth/authentication.ts';
import { type Access, authorize, refuseApiKeyFromBrowser } from '../auth/authorize.ts';
import type { Caller } from '../auth/caller.ts';
import {
  answerError,
  answerUnknownMethod,
  refuseMalformedCall,
  refuseOldVersion,
} from '../http/answers.ts';
import { limitBodyTime } from '../http/body-time.ts';
import type { ClientAddresses } from '../http/client-address.ts';
import { SANDBOX_PREFIX } from '../http/http-handler.ts';
import { setSandboxOfRequest } from '../http/sandbox-of-request.ts';
import type { AgentEndpoint } from '../sandbox/agents.ts';
import { AgentConnections, callHeaders } from './agent-connections.ts';
import { type CallOutcome, callLine } from './call-line.ts';
import type { CallPlace, LiveCallRegistry } from './live-call-registry.ts';
import { RelayedCall } from './relayed-call.ts';
import { readBody } from './request-body.ts';
import { parseSandboxAddress, type SandboxAddress } from './sandbox-address.ts';

/** What code in a sandbox sent must never run as a page of the gateway's origin. */
const SANDBOX_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox";

export type SandboxProxyOptions = {
  /** The methods that agents serve. */
  readonly agentMethods: MethodTable;
  /** The methods that the gateway itself serves below every sandbox's address. */
  readonly gatewayMethods: MethodTable;
  /** Serves `gatewayMethods`, at their paths from the root. */
  readonly controlPlane: HttpHandler;
  readonly authentication: Authentication;
  readonly clients: ClientAddresses;
  /** Who may call a method. Undefined: everybody, without a credential; never so for an agent's method. */
  readonly accessOf: (method: DescMethod) => Access | undefined;
  /** Resolves when the sandbox exists and the caller may see it. Throws NOT_FOUND. */
  readonly openSandbox: (sandboxId: string, caller: Caller) => Promise<void>;
  /** Finds the sandbox's agent or starts it. */
  readonly endpoint: (sandboxId: string, signal: AbortSignal) => Promise<AgentEndpoint>;
  readonly calls: LiveCallRegistry;
  readonly clock: Clock;
  readonly log: Logger;
};

/** Serves everything below the addresses of sandboxes. */
export type SandboxProxy = {
  readonly handler: HttpHandler;
  /** Ends every connection to an agent. End the calls first. */
  close(): void;
};

/** A call of an agent's method, on its way into a sandbox. */
type InboundCall = {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly address: SandboxAddress;
  readonly method: DescMethod;
  readonly form: CallForm;
};

export function createSandboxProxy(options: SandboxProxyOptions): SandboxProxy {
  const connections = new AgentConnections();
  const handler: HttpHandler = (request, response) => {
    try {
      route(options, connections, request, response);
    } catch (error) {
      answerError(request, response, error);
    }
  };
  return { handler, close: () => connections.close() };
}

function route(
  options: SandboxProxyOptions,
  connections: AgentConnections,
  request: HttpRequest,
  response: HttpResponse,
): void {
  const address = parseSandboxAddress(request.url ?? '', SANDBOX_PREFIX);
  const own = options.gatewayMethods.find(address.path);
  const method = own ?? options.agentMethods.find(address.path);
  if (!method) {
    const hint = `the services of a sandbox are ${serviceNames(options)}`;
    answerUnknownMethod(request, response, { path: address.path, hint });
    return;
  }
  if (refuseMalformedCall(request, response, method)) return;
  if (own && refuseOldVersion(request, response, method)) return;
  if (!own || method.methodKind !== 'bidi_streaming') limitBodyTime(request, response);
  const form = callForm(request);
  if (own || !form) {
    void serveHere(options, { request, response, address, method });
    return;
  }
  response.setHeader('Content-Security-Policy', SANDBOX_CONTENT_POLICY);
  void serveThere(options, connections, { request, response, address, method, form });
}

/** Serves a method of the gateway below a sandbox's address: the caller must be able to open it. */
async function serveHere(
  options: SandboxProxyOptions,
  call: Omit<InboundCall, 'form'>,
): Promise<void> {
  const { request, response, address, method } = call;
  try {
    if (options.accessOf(method)) {
      const caller = await admit(options, call);
      await options.openSandbox(address.sandboxId, caller);
      setSandboxOfRequest(request, address.sandboxId);
    }
    request.url = address.path + address.query;
    options.controlPlane(request, response);
  } catch (error) {
    answerError(request, response, error);
  }
}

/** Passes a call on to the sandbox's agent. */
async function serveThere(
  options: SandboxProxyOptions,
  connections: AgentConnections,
  call: InboundCall,
): Promise<void> {
  const { request, response, address } = call;
  const { sandboxId } = address;
  let relayed: RelayedCall | undefined;
  try {
    const caller = admitNow(options, call) ?? (await admit(options, call));
    refuseOverHttp(call.method);
    const registered = register(options, call, caller);
    ({ relayed } = registered);
    if (relayed.signal.aborted) return;
    const body = await readBody(request, registered.place.arriveLarge);
    registered.place.enter();
    await options.openSandbox(sandboxId, caller);
    const { socketPath } = await options.endpoint(sandboxId, relayed.signal);
    if (relayed.signal.aborted) return;
    const upstream = connections.open({
      socketPath,
      subject: caller.principal.subject,
      method: request.method === 'GET' ? 'GET' : 'POST',
      target: request.method === 'GET' ? address.path + address.query : address.path,
      headers: {
        ...callHeaders(request),
        ...principalToHeaders(caller.principal),
        ...(request.method !== 'GET' && { 'content-length': String(body.length) }),
      },
    });
    relayed.relay(upstream);
    upstream.end(body);
  } catch (error) {
    if (!(error instanceof DomainError)) options.log.error('call failed', { sandboxId, error });
    const cause = error instanceof DomainError ? error : internal(error);
    if (relayed) relayed.fail(cause);
    else answerError(request, response, cause);
  }
}

/** A body passes on when all of it has come, so that what streams both ways would wait for ever. */
function refuseOverHttp(method: DescMethod): void {
  if (method.methodKind !== 'bidi_streaming') return;
  const problem = `${method.name} is served on WebSockets only, because it streams both ways`;
  throw new DomainError('FAILED_PRECONDITION', problem);
}

/** The caller, if the credential was verified before. Throws if it does not allow the call. */
function admitNow(
  options: SandboxProxyOptions,
  call: Omit<InboundCall, 'form'>,
): Caller | undefined {
  const now = options.clock.now();
  const caller = options.authentication.authenticateCached(credentialsOf(options, call), now);
  if (caller) check(options, call, caller);
  return caller;
}

async function admit(
  options: SandboxProxyOptions,
  call: Omit<InboundCall, 'form'>,
): Promise<Caller> {
  const now = options.clock.now();
  const caller = await options.authentication.authenticate(credentialsOf(options, call), now);
  check(options, call, caller);
  return caller;
}

function credentialsOf(
  { clients }: SandboxProxyOptions,
  { request, address }: Omit<InboundCall, 'form'>,
): CallCredentials {
  const { authorization, cookie, origin } = request.headers;
  const client = () => clients.of(request);
  return { authorization, cookie, origin, sandboxId: address.sandboxId, client };
}

function check(
  options: SandboxProxyOptions,
  call: Omit<InboundCall, 'form'>,
  caller: Caller,
): void {
  refuseApiKeyFromBrowser(caller, call.request.headers.origin);
  const access = options.accessOf(call.method);
  if (!access) throw internal(`${call.method.name} does not say who may call it`);
  authorize(caller, access, call.address.sandboxId);
}

/** Makes the call one that can be ended from outside. From here on it ends only by itself. */
function register(
  options: SandboxProxyOptions,
  call: InboundCall,
  caller: Caller,
): { readonly relayed: RelayedCall; readonly place: CallPlace } {
  const { request, response, form, method, address } = call;
  const isStream = method.methodKind !== 'unary';
  const { clock } = options;
  const { sandboxId } = address;
  const line = callLine(options.log, clock, {
    ...{ method, caller, sandboxId, protocol: form.protocol },
  });
  let leave = () => {};
  const close = (outcome: CallOutcome) => {
    leave();
    line(outcome);
  };
  const relayed = new RelayedCall({ request, response, form, isStream, clock, onClose: close });
  const place = options.calls.open({
    sandboxId: address.sandboxId,
    principalId: caller.principal.id,
    ...(caller.kind === 'session_token' && { expiresAt: caller.expiresAt }),
    kind: isStream ? 'stream' : 'unary',
    end: (cause) => relayed.end(cause),
  });
  ({ leave } = place);
  if (relayed.signal.aborted) leave();
  try {
    // Sees a revocation that happened while the caller was being authenticated.
    options.authentication.assertStillValid(caller, clock.now());
  } catch (error) {
    relayed.fail(error instanceof DomainError ? error : internal(error));
  }
  return { relayed, place };
}

function serviceNames(options: SandboxProxyOptions): string {
  const services = [...options.agentMethods.services, ...options.gatewayMethods.services];
  return services.map((service) => service.typeName).join(', ');
}

function internal(cause: unknown): DomainError {
  return new DomainError('INTERNAL', 'internal error, see the server log', { cause });
}
