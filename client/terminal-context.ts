import type { Client } from '@connectrpc/connect';
import type { TerminalService } from '../gen/computesdk/v1/terminal_service_pb.ts';
import type { Connection } from './connection/connection.ts';

/** Something with a reader on the server. */
export interface Detachable {
  detach(options: { readonly signal: AbortSignal }): Promise<void>;
}

/** What the terminals of one sandbox share. */
export type TerminalContext = {
  readonly connection: Connection;
  readonly client: Client<typeof TerminalService>;
  /** Whether calls may stream both ways. */
  readonly isDuplex: () => boolean;
  /** Terminals with a reader, to be detached when the sandbox is disconnected. */
  readonly attached: Set<Detachable>;
};
