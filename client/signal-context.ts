import type { Client } from '@connectrpc/connect';
import type { SignalService } from '../gen/computesdk/v1/signal_service_pb.ts';
import type { Connection } from './connection/connection.ts';
import type { PreviewUrl } from './preview-url.ts';

/** What the signals of one sandbox share. */
export type SignalContext = {
  readonly connection: Connection;
  readonly client: Client<typeof SignalService>;
  /** The sandbox's address. */
  readonly url: string;
  /** Gives the address of a port's preview. When it fails, the plain address is told. */
  readonly previewUrl: PreviewUrl;
};
