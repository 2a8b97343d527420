import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Watcher as WatcherRecord } from '../gen/computesdk/v1/watcher_pb.ts';
import { newRequestId } from './connection/request-id.ts';
import { SandboxError } from './errors.ts';
import type { SignalOption } from './signal-option.ts';
import { toUint32 } from './values.ts';
import { Watcher } from './watcher.ts';
import type { WatcherContext } from './watcher-context.ts';
import { WATCHER_LEASE_MS } from './watcher-source.ts';

/** Describes what a watcher tells. */
export interface WatcherCreateOptions extends SignalOption {
  /**
   * What to leave out, with everything below it: names (`node_modules`) anywhere in the tree, globs
   * (`*.log` for names, `src/**\/*.tmp` for paths below the watched one), and paths, absolute or
   * beginning with `./`. What is left out costs nothing. Default: nothing.
   */
  readonly ignored?: readonly string[] | undefined;
  /** Whether to leave out what `.gitignore` files in the tree name, and `.git`. Default: false. */
  readonly gitignore?: boolean | undefined;
  /** Whether changes carry the content of files that are UTF-8 text. Default: false. */
  readonly includeContent?: boolean | undefined;
  /** The largest content that a change carries, in bytes, up to 16 MiB. Default: 1 MiB. */
  readonly maxContentBytes?: number | undefined;
}

/** The watchers of a sandbox. */
export class Watchers {
  readonly #context: WatcherContext;

  /** @internal */
  constructor(context: WatcherContext) {
    this.#context = context;
  }

  /**
   * Starts watching a directory, with everything below it, or a file. Resolves when it is watched:
   * every later change is told, to listeners that are registered within 30 seconds.
   *
   * @param path Absolute path. Default: `/project`.
   *
   * @throws SandboxError `not_found` (there is no such path), `invalid_argument` (among others for
   * pseudo file systems such as `/proc`), `limit_reached` (32 watchers, 100,000 files and directories,
   * or no inotify watch left; the message says what to do), `permission_denied`, `unreachable`,
   * `canceled`.
   *
   * @example
   * const watcher = await sandbox.watcher.create('/project', { ignored: ['node_modules', '.git'] });
   * watcher.on('change', ({ event, path }) => console.log(`${event}: ${path}`));
   */
  async create(path = '/project', options: WatcherCreateOptions = {}): Promise<Watcher> {
    const { client, connection } = this.#context;
    const { ignored, gitignore, includeContent, maxContentBytes, signal } = options;
    const request = {
      requestId: newRequestId(),
      path,
      ignored: [...(ignored ?? [])],
      gitignore: gitignore ?? false,
      includeContent: includeContent ?? false,
      lease: durationFromMs(WATCHER_LEASE_MS),
      ...(maxContentBytes !== undefined && {
        maxContentBytes: toUint32('maxContentBytes', maxContentBytes),
      }),
    };
    const { watcher } = await connection.call(
      (attempt) => client.createWatcher(request, { signal: attempt }),
      { signal },
    );
    return this.#toWatcher(watcher);
  }

  /**
   * All watchers of the sandbox, oldest first.
   *
   * @example
   * for (const { id, path } of await sandbox.watcher.list()) console.log(id, path);
   */
  async list(options: SignalOption = {}): Promise<Watcher[]> {
    const { client, connection } = this.#context;
    const { watchers } = await connection.call(
      (attempt) => client.listWatchers({}, { signal: attempt }),
      options,
    );
    return watchers.map((record) => this.#toWatcher(record));
  }

  /**
   * A watcher by its id. Its listeners get what happens from now on.
   *
   * @throws SandboxError `not_found`; `destroyed` if it has ended; `lost` if the process that held it
   * died.
   *
   * @example
   * const watcher = await sandbox.watcher.retrieve(id);
   * watcher.on('change', ({ event, path }) => console.log(`${event}: ${path}`));
   */
  async retrieve(id: string, options: SignalOption = {}): Promise<Watcher> {
    const { client, connection } = this.#context;
    const { watcher } = await connection.call(
      (attempt) => client.getWatcher({ watcherId: id }, { signal: attempt }),
      options,
    );
    return this.#toWatcher(watcher);
  }

  /**
   * Ends a watcher for everybody. Idempotent.
   *
   * @example
   * await sandbox.watcher.destroy(watcher.id);
   */
  async destroy(id: string, options: SignalOption = {}): Promise<void> {
    const { client, connection } = this.#context;
    await connection.call(
      (attempt) => client.destroyWatcher({ watcherId: id }, { signal: attempt }),
      options,
    );
  }

  #toWatcher(record: WatcherRecord | undefined): Watcher {
    if (!record) throw new SandboxError('bad_sandbox_response', 'the answer has no watcher in it');
    return new Watcher(this.#context, record);
  }
}
