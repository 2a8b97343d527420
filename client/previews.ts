import type { Client } from '@connectrpc/connect';
import type { PreviewService } from '../gen/computesdk/v1/preview_service_pb.ts';
import type { Connection } from './connection/connection.ts';
import { invalidArgument } from './errors.ts';
import type { PreviewUrl } from './preview-url.ts';
import type { SignalOption } from './signal-option.ts';

/** Names the port to be shown. */
export interface GetUrlOptions extends SignalOption {
  /** The port inside the sandbox, 1 to 65,535. */
  readonly port: number;
}

const MAX_PORT = 65_535;

/** Asks the gateway for addresses of previews, over a sandbox's connection. */
export function previewUrls(
  connection: Connection,
  client: Client<typeof PreviewService>,
): PreviewUrl {
  return async (port, signal) => {
    if (!Number.isInteger(port) || port < 1 || port > MAX_PORT) {
      throw invalidArgument('port', `must be a whole number from 1 to ${MAX_PORT}`);
    }
    const { url } = await connection.call(
      (attempt) => client.createPreviewUrl({ port }, { signal: attempt }),
      { signal },
    );
    return url;
  };
}
