import { type Client, createClient } from '@connectrpc/connect';
import { systemClock } from '../../client/connection/clock.ts';
import { TokenCredential } from '../../client/connection/credential.ts';
import { SandboxTransport, type TransportKind } from '../../client/connection/sandbox-transport.ts';
import { AuthService } from '../../gen/computesdk/v1/auth_service_pb.ts';
import { TerminalService } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import type { Access } from '../stage.ts';

/** Generated clients over the SDK's transport, without what the SDK does above it. */
export type RawClient = {
  readonly terminals: Client<typeof TerminalService>;
  readonly auth: Client<typeof AuthService>;
  close(): Promise<void>;
};

export function rawClient(access: Access, kind: TransportKind): RawClient {
  const transport = new SandboxTransport({
    ...{ baseUrl: access.url, kind, clock: systemClock },
    credential: new TokenCredential(access.token),
    onNotice: () => {},
    onLateStream: () => {},
  });
  return {
    terminals: createClient(TerminalService, transport),
    auth: createClient(AuthService, transport),
    close: async () => transport.close(),
  };
}
