import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Client, createClient, type Interceptor, type Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { AuthService } from '../../gen/computesdk/v1/auth_service_pb.ts';
import type { Sandbox } from '../../gen/computesdk/v1/sandbox_pb.ts';
import {
  type CreateSandboxRequestSchema,
  SandboxService,
} from '../../gen/computesdk/v1/sandbox_service_pb.ts';
import { SessionTokenService } from '../../gen/computesdk/v1/session_token_service_pb.ts';
import { TerminalService } from '../../gen/computesdk/v1/terminal_service_pb.ts';

/** Adds a bearer credential to every call. */
export function bearer(credential: string): Interceptor {
  return (next) => (request) => {
    request.header.set('authorization', `Bearer ${credential}`);
    return next(request);
  };
}

/** A Connect transport over HTTP/1.1. */
function transportTo(baseUrl: string, credential: string): Transport {
  return createConnectTransport({
    baseUrl,
    httpVersion: '1.1',
    interceptors: [bearer(credential)],
  });
}

export type GatewayClients = {
  readonly auth: Client<typeof AuthService>;
  readonly sandboxes: Client<typeof SandboxService>;
  readonly tokens: Client<typeof SessionTokenService>;
};

/** Generated clients of a gateway's own services. */
export function gatewayClients(gateway: {
  readonly url: string;
  readonly apiKey: string;
}): GatewayClients {
  const transport = transportTo(gateway.url, gateway.apiKey);
  return {
    auth: createClient(AuthService, transport),
    sandboxes: createClient(SandboxService, transport),
    tokens: createClient(SessionTokenService, transport),
  };
}

/** A generated client of a sandbox's terminals. */
export function terminalClient(
  sandboxUrl: string,
  credential: string,
): Client<typeof TerminalService> {
  return createClient(TerminalService, transportTo(sandboxUrl, credential));
}

/** A new sandbox with a token that opens it. */
export async function newSandbox(
  gateway: { readonly url: string; readonly apiKey: string },
  request: MessageInitShape<typeof CreateSandboxRequestSchema> = {},
): Promise<{ readonly sandbox: Sandbox; readonly token: string }> {
  const clients = gatewayClients(gateway);
  const { sandbox } = await clients.sandboxes.createSandbox(request);
  if (!sandbox) throw new Error('CreateSandbox returned none');
  const { token } = await clients.tokens.createSessionToken({ sandboxId: sandbox.id });
  return { sandbox, token };
}
