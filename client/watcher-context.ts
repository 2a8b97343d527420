import type { Client } from '@connectrpc/connect';
import type { WatcherService } from '../gen/computesdk/v1/watcher_service_pb.ts';
import type { Connection } from './connection/connection.ts';

/** What the watchers of one sandbox share. */
export type WatcherContext = {
  readonly connection: Connection;
  readonly client: Client<typeof WatcherService>;
};
