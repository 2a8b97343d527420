import { Code, type ConnectError, type ServiceImpl } from '@connectrpc/connect';
import type { Clock } from '../../../client/connection/clock.ts';
import { ErrorReason } from '../../../gen/computesdk/v1/error_pb.ts';
import { WatcherEnd } from '../../../gen/computesdk/v1/watcher_pb.ts';
import type { WatcherService } from '../../../gen/computesdk/v1/watcher_service_pb.ts';
import { refusal } from './fake-terminal.ts';
import { FakeWatcher } from './fake-watcher.ts';

/** The watchers of a sandbox without files. */
export class FakeWatchers {
  /** Those that live, oldest first. */
  readonly live = new Map<string, FakeWatcher>();
  readonly #clock: Clock;
  readonly #createdBy = new Map<string, FakeWatcher>();
  /** What is said of those that do not live any more. */
  readonly #gone = new Map<string, ConnectError>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The one that was created last. */
  get last(): FakeWatcher {
    const watcher = [...this.live.values()].at(-1);
    if (!watcher) throw new Error('no watcher was created');
    return watcher;
  }

  /** Ends one. */
  finish(watcher: FakeWatcher, end: WatcherEnd): void {
    this.#forget(watcher, refusal(Code.NotFound, ErrorReason.DESTROYED));
    watcher.finish(end);
  }

  /** Their process died: another one took its place. */
  restart(): void {
    for (const watcher of [...this.live.values()]) {
      const lost = refusal(Code.DataLoss, ErrorReason.LOST);
      this.#forget(watcher, lost);
      watcher.fail(lost);
    }
  }

  service(): ServiceImpl<typeof WatcherService> {
    return {
      createWatcher: (request) => {
        const known = this.#createdBy.get(request.requestId);
        const watcher =
          known ?? new FakeWatcher(`wat${this.#createdBy.size + 1}`, request, this.#clock);
        this.#createdBy.set(request.requestId, watcher);
        this.live.set(watcher.id, watcher);
        return { watcher: watcher.record() };
      },
      getWatcher: ({ watcherId }) => ({ watcher: this.#find(watcherId).record() }),
      listWatchers: () => ({
        watchers: [...this.live.values()].map((watcher) => watcher.record()),
      }),
      streamWatcher: (request, { signal }) => this.#find(request.watcherId).stream(request, signal),
      destroyWatcher: ({ watcherId }) => {
        const watcher = this.live.get(watcherId);
        if (watcher) this.finish(watcher, WatcherEnd.DESTROYED);
        return {};
      },
    };
  }

  #find(id: string): FakeWatcher {
    const watcher = this.live.get(id);
    if (watcher) return watcher;
    throw this.#gone.get(id) ?? refusal(Code.NotFound, ErrorReason.NOT_FOUND, `there is no ${id}`);
  }

  #forget(watcher: FakeWatcher, why: ConnectError): void {
    this.live.delete(watcher.id);
    this.#gone.set(watcher.id, why);
  }
}
