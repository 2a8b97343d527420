import { posix } from 'node:path';
import { EventLog } from '../../core/event-log.ts';
import type { Difference, TreeEvent, WatcherEnd } from './events.ts';
import type { TreeHandle } from './watch-thread.ts';

/** What the readers of one watcher read. */
export class WatcherLog {
  /** As the API spells what is watched. */
  readonly path: string;
  /** In the agent's file system. */
  readonly directory: string;
  /** The largest content to deliver, in bytes. Undefined: none. */
  readonly maxContentBytes: number | undefined;
  readonly #events: EventLog<TreeEvent>;
  #tree: TreeHandle | undefined;
  #ended: WatcherEnd | undefined;

  constructor(options: {
    readonly path: string;
    readonly directory: string;
    readonly maxContentBytes: number | undefined;
    readonly limit: number;
  }) {
    this.path = options.path;
    this.directory = options.directory;
    this.maxContentBytes = options.maxContentBytes;
    this.#events = new EventLog(options.limit);
  }

  /** Number of the oldest event that is held. */
  get start(): number {
    return this.#events.start;
  }

  /** Number of the next event. */
  get end(): number {
    return this.#events.end;
  }

  /** Why nothing will be added any more. */
  get ended(): WatcherEnd | undefined {
    return this.#ended;
  }

  /** The event of that number. */
  at(number: number): TreeEvent | undefined {
    return this.#events.at(number);
  }

  /** Takes the tree whose events are added. */
  connect(tree: TreeHandle): void {
    this.#tree = tree;
  }

  add(events: readonly TreeEvent[]): void {
    for (const event of events) this.#events.push(event);
  }

  /** Nothing will be added any more. */
  finish(end: WatcherEnd): void {
    this.#ended ??= end;
    this.#tree?.close();
  }

  /** The last change of each path since a number that is not held. Undefined once the watcher ended. */
  async difference(since: number, limit: number): Promise<Difference | undefined> {
    return this.#tree?.difference(since, limit);
  }

  /** The path of an entry as the API spells it. */
  toApiPath(path: string): string {
    return path === '' ? this.path : posix.join(this.path, path);
  }

  /** The path of an entry in the agent's file system. */
  toFile(path: string): string {
    return path === '' ? this.directory : posix.join(this.directory, path);
  }
}
