import { durationMs } from '@bufbuild/protobuf/wkt';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type {
  CreateWatcherRequest,
  StreamWatcherRequest,
  WatcherService,
} from '../../../gen/computesdk/v1/watcher_service_pb.ts';
import { untilAborted } from '../../core/abort.ts';
import { principalFromHeaders } from '../../rpc/principal-headers.ts';
import type { WatcherRegistry } from '../watcher/registry.ts';
import { connectionKey } from './connection.ts';
import { toStreamResponse, toWatcher } from './watcher-messages.ts';

/** Serves the watchers of this sandbox. Who may call what was settled by the gateway. */
export function watcherService(watchers: WatcherRegistry): ServiceImpl<typeof WatcherService> {
  return {
    async createWatcher(request, { requestHeader, signal }) {
      const created = watchers.create(principalFromHeaders(requestHeader), createOptions(request));
      return { watcher: toWatcher(await untilAborted(created, signal)) };
    },
    getWatcher: (request) => ({ watcher: toWatcher(watchers.get(request.watcherId)) }),
    listWatchers: () => ({ watchers: watchers.list().map(toWatcher) }),
    streamWatcher: (request, context) => stream(watchers, request, context),
    destroyWatcher({ watcherId }) {
      watchers.destroy(watcherId);
      return {};
    },
  };
}

async function* stream(
  watchers: WatcherRegistry,
  request: StreamWatcherRequest,
  context: HandlerContext,
) {
  const { watcherId, readerId, incarnation, cursor, lease } = request;
  const reading = watchers.get(watcherId).attach({
    ...{ actor: principalFromHeaders(context.requestHeader), readerId, incarnation },
    ...(cursor !== undefined && { cursor: Number(cursor) }),
    ...(lease && { leaseMs: durationMs(lease) }),
    disconnect: context.values.get(connectionKey).disconnect,
  });
  // At once, so that the lease starts when the connection ends, not when its buffers notice.
  const close = () => reading.close();
  context.signal.addEventListener('abort', close, { once: true });
  try {
    context.signal.throwIfAborted();
    for await (const event of reading.events()) yield toStreamResponse(event);
    // A deadline ended it, which must not look like the watcher's end.
    context.signal.throwIfAborted();
  } finally {
    context.signal.removeEventListener('abort', close);
    reading.close();
  }
}

function createOptions(request: CreateWatcherRequest) {
  const { requestId, path, ignored, gitignore, includeContent, maxContentBytes, lease } = request;
  return {
    ...{ requestId, path, ignored, gitignore, includeContent },
    ...(maxContentBytes !== undefined && { maxContentBytes }),
    ...(lease && { leaseMs: durationMs(lease) }),
  };
}
