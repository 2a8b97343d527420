import type { Watcher as WatcherRecord } from '../gen/computesdk/v1/watcher_pb.ts';
import type { Timer } from './connection/clock.ts';
import { ResumableStream } from './connection/resumable-stream.ts';
import { Emitter, type Listener, type Unsubscribe } from './emitter.ts';
import { type SandboxError, toSandboxError } from './errors.ts';
import type { SignalOption } from './signal-option.ts';
import type { WatcherContext } from './watcher-context.ts';
import type { WatcherEnd, WatcherEvents } from './watcher-events.ts';
import { type WatcherPiece, watcherSource } from './watcher-source.ts';

/**
 * Watches a directory of a sandbox, with everything below it, or a file. It belongs to the sandbox:
 * when the connection breaks, what happens meanwhile is told afterwards.
 *
 * Reading starts with the first listener, from the moment of `create` or `retrieve` on. A watcher
 * that nobody listens to for 30 seconds ends.
 *
 * @example
 * const watcher = await sandbox.watcher.create('/project', {
 *   ignored: ['node_modules', '.git'],
 *   includeContent: true,
 * });
 * watcher.on('change', (event) => {
 *   console.log(`${event.event}: ${event.path}`);
 *   if (event.content) editor.setValue(event.content);
 * });
 */
export class Watcher {
  /** Names the watcher. */
  readonly id: string;
  /** What is watched, as an absolute path. */
  readonly path: string;
  /** What is left out. */
  readonly ignored: readonly string[];
  /** Whether changes carry the content of files. */
  readonly includeContent: boolean;
  readonly #context: WatcherContext;
  readonly #emitter = new Emitter<WatcherEvents>();
  readonly #stream: ResumableStream<WatcherPiece>;
  #startTimer: Timer | undefined;
  #reading: AbortController | undefined;
  #isReady = false;
  #end: WatcherEnd | undefined;

  /** @internal */
  constructor(context: WatcherContext, record: WatcherRecord) {
    this.id = record.id;
    this.path = record.path;
    this.ignored = record.ignored;
    this.includeContent = record.includeContent;
    this.#context = context;
    const { incarnation, cursor } = record;
    this.#stream = new ResumableStream(
      context.connection,
      watcherSource(context.client, record.id),
      {
        onReady: () => this.#onReady(),
        onData: (piece) => this.#onPiece(piece),
        onGap: ({ from, to, reason, complete = false }) =>
          this.#emitter.emit('gap', { from, to, reason, complete }),
        onEnd: (piece) => this.#onPiece(piece),
      },
      { cursor: Number(cursor), incarnation, readerId: '' },
    );
  }

  /**
   * Listens to an event. The first listener starts the reading; listeners that are registered
   * together all get the first change.
   *
   * @returns how to take the listener off again.
   *
   * @example
   * const stop = watcher.on('change', ({ event, path }) => console.log(event, path));
   * stop();
   */
  on<K extends keyof WatcherEvents>(event: K, listener: Listener<WatcherEvents, K>): Unsubscribe {
    return this.#listen(event, listener, false);
  }

  /** Listens to one occurrence of an event. */
  once<K extends keyof WatcherEvents>(event: K, listener: Listener<WatcherEvents, K>): Unsubscribe {
    return this.#listen(event, listener, true);
  }

  /** Takes a listener off. */
  off<K extends keyof WatcherEvents>(event: K, listener: Listener<WatcherEvents, K>): void {
    this.#emitter.off(event, listener);
  }

  /**
   * Stops reading. The watcher waits for 30 seconds for somebody to listen, and ends. A listener that
   * is registered in that time gets what happened meanwhile.
   */
  close(): void {
    this.#startTimer?.clear();
    this.#startTimer = undefined;
    this.#reading?.abort();
    this.#reading = undefined;
  }

  /**
   * Ends the watcher for everybody. Listeners get `destroyed`. Idempotent.
   *
   * @example
   * await watcher.destroy();
   */
  async destroy(options: SignalOption = {}): Promise<void> {
    const { client, connection } = this.#context;
    const request = { watcherId: this.id };
    await connection.call(
      (attempt) => client.destroyWatcher(request, { signal: attempt }),
      options,
    );
  }

  #listen<K extends keyof WatcherEvents>(
    event: K,
    listener: Listener<WatcherEvents, K>,
    once: boolean,
  ): Unsubscribe {
    const unsubscribe = this.#emitter.on(event, listener, once);
    if (event === 'ready' && this.#isReady) {
      queueMicrotask(() => this.#tellReadyTo(listener));
    }
    if (event === 'destroyed' && this.#end) {
      queueMicrotask(() => this.#tellEndTo(listener as Listener<WatcherEvents, 'destroyed'>));
    }
    this.#start();
    return unsubscribe;
  }

  /** Attaches in the next macrotask, so that listeners which are registered together all get everything. */
  #start(): void {
    if (this.#reading || this.#end) return;
    this.#startTimer ??= this.#context.connection.clock.setTimer(() => void this.#read(), 0);
  }

  async #read(): Promise<void> {
    this.#startTimer = undefined;
    const reading = new AbortController();
    this.#reading = reading;
    try {
      await this.#stream.run(reading.signal);
    } catch (error) {
      this.#onFailed(toSandboxError(error));
    } finally {
      if (this.#reading === reading) this.#reading = undefined;
    }
  }

  #onReady(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#emitter.emit('ready');
  }

  #onPiece(piece: WatcherPiece): void {
    switch (piece.kind) {
      case 'change':
        this.#emitter.emit('change', piece.change);
        return;
      case 'error':
        this.#emitter.emit('error', piece.error);
        return;
      case 'destroyed':
        this.#onEnd(piece.reason);
        return;
    }
  }

  #onFailed(error: SandboxError): void {
    // Its end was told while this client was not connected.
    if (error.code === 'destroyed') this.#onEnd('destroyed');
    else if (error.code !== 'closed') this.#emitter.emit('error', error);
    if (error.code === 'lost') this.#onEnd('lost');
  }

  #onEnd(reason: WatcherEnd): void {
    if (this.#end) return;
    this.#end = reason;
    this.#emitter.emit('destroyed', { reason });
  }

  #tellReadyTo(listener: Listener<WatcherEvents, 'ready'>): void {
    this.#emitter.emitTo('ready', listener);
  }

  #tellEndTo(listener: Listener<WatcherEvents, 'destroyed'>): void {
    if (this.#end) this.#emitter.emitTo('destroyed', listener, { reason: this.#end });
  }
}
