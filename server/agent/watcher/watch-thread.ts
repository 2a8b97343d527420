import { Worker } from 'node:worker_threads';
import { type Deferred, deferred } from '../../core/deferred.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { Difference, TreeEvent } from './events.ts';
import type { TreeOptions, WatchMessage, WatchRequest } from './watch-messages.ts';

/** Who takes what is told about a tree. */
export type TreeSink = {
  /** The first event has the number `from`. */
  readonly onEvents: (from: number, events: readonly TreeEvent[]) => void;
  /** Nothing more will be told, for what went wrong. */
  readonly onFailed: () => void;
};

/** A tree that is watched. */
export type TreeHandle = {
  /** The last change of each path since a number. Undefined when the tree is not watched any more. */
  difference(since: number, limit: number): Promise<Difference | undefined>;
  /** Stops watching. Idempotent. */
  close(): void;
};

/** Starts to watch a tree; resolves when every later change will be told. Throws LIMIT_REACHED. */
export type OpenTree = (options: TreeOptions, sink: TreeSink) => Promise<TreeHandle>;

type Tree = { readonly sink: TreeSink; readonly opened: Deferred<void> };

/** Memory of the thread. A larger tree ends the thread, not the agent. */
const MAX_HEAP_MIB = 1024;

/** Text of the thread's program, put into the bundle of the agent. Undefined when run from source. */
declare const WATCH_WORKER_PROGRAM: string | undefined;

/** The thread that watches. It is started when it is needed and ended when nothing is watched. */
export class WatchThread {
  #worker: Worker | undefined;
  readonly #trees = new Map<number, Tree>();
  readonly #requests = new Map<number, Deferred<Difference | undefined>>();
  #lastId = 0;

  /** {@link OpenTree}. */
  readonly open: OpenTree = async (options, sink) => {
    const tree = ++this.#lastId;
    const opened = deferred();
    this.#trees.set(tree, { sink, opened });
    this.#post({ type: 'open', tree, ...options });
    try {
      await opened.promise;
    } catch (error) {
      this.#close(tree);
      throw error;
    }
    return {
      difference: (since, limit) => this.#difference({ tree, since, limit }),
      close: () => this.#close(tree),
    };
  };

  #difference(wanted: {
    tree: number;
    since: number;
    limit: number;
  }): Promise<Difference | undefined> {
    if (!this.#trees.has(wanted.tree)) return Promise.resolve(undefined);
    const request = ++this.#lastId;
    const answer = deferred<Difference | undefined>();
    this.#requests.set(request, answer);
    this.#post({ type: 'difference', request, ...wanted });
    return answer.promise;
  }

  #close(tree: number): void {
    if (!this.#trees.delete(tree)) return;
    if (this.#trees.size > 0) this.#post({ type: 'close', tree });
    else this.#end();
  }

  #post(request: WatchRequest): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(request);
  }

  #start(): Worker {
    const options = { env: {}, resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB } };
    // From the agent's own bundle, as its file may be another version's by now.
    const worker =
      typeof WATCH_WORKER_PROGRAM === 'string'
        ? new Worker(WATCH_WORKER_PROGRAM, { ...options, eval: true })
        : new Worker(new URL('./watch-worker.ts', import.meta.url), options);
    worker.unref();
    worker.on('message', (message: WatchMessage) => {
      if (worker === this.#worker) this.#onMessage(message);
    });
    worker.on('error', () => this.#onDeath(worker));
    worker.on('exit', () => this.#onDeath(worker));
    return worker;
  }

  #onMessage(message: WatchMessage): void {
    if (message.type === 'difference') {
      this.#requests.get(message.request)?.resolve(message.difference);
      this.#requests.delete(message.request);
      return;
    }
    const tree = this.#trees.get(message.tree);
    if (!tree) return;
    switch (message.type) {
      case 'opened':
        tree.opened.resolve();
        return;
      case 'refused':
        tree.opened.reject(new DomainError(message.reason, message.message, { field: 'path' }));
        return;
      case 'events':
        tree.sink.onEvents(message.from, message.events);
        return;
      case 'failed':
        this.#close(message.tree);
        tree.sink.onFailed();
        return;
    }
  }

  #end(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    void worker?.terminate();
    for (const answer of this.#requests.values()) answer.resolve(undefined);
    this.#requests.clear();
  }

  #onDeath(worker: Worker): void {
    if (worker !== this.#worker) return;
    const trees = [...this.#trees.values()];
    this.#trees.clear();
    this.#end();
    for (const { opened, sink } of trees) {
      opened.reject(new DomainError('INTERNAL', 'the thread that watches has ended'));
      sink.onFailed();
    }
  }
}
