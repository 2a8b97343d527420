import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { DomainError } from '../../core/domain-error.ts';
import type {
  SqliteFailure,
  SqliteNews,
  SqliteRequest,
  SqliteResponse,
  SqliteWorkerData,
} from './sqlite-worker.ts';

/** What a statement gave. */
export type SqliteResult = { readonly rows: readonly unknown[]; readonly changes: number };

/** A statement that SQLite refused. */
class SqliteError extends Error {
  override readonly name = 'SqliteError';
  /** SQLite's extended result code. Undefined for an error outside SQLite. */
  readonly code: number | undefined;

  constructor(failure: SqliteFailure) {
    super(failure.message);
    this.code = failure.code;
  }
}

export type SqliteOptions = {
  readonly workerFile?: URL;
  /** Whether a gateway may be using the directory at the same time. Default: false. */
  readonly isShared?: boolean;
};

type Pending = {
  readonly resolve: (result: SqliteResult) => void;
  readonly reject: (error: Error) => void;
};

/** The thread's file, beside this one and in the same language: TypeScript here, JavaScript in a build. */
const WORKER_FILE = new URL(`./sqlite-worker${extname(import.meta.url)}`, import.meta.url);
/** SQLite's result code for a lock that another connection holds. */
const SQLITE_BUSY = 5;

/**
 * The embedded database, in a thread of its own: no statement and no fsync runs on the caller's
 * loop. Statements run one at a time, in the order of the calls.
 */
export class SqliteConnection {
  readonly #worker: Worker;
  /** Statements that were posted and not answered, by request id. */
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #ended: Error | undefined;
  #closing: Promise<void> | undefined;
  /** Resolves when the thread has died without being closed. */
  readonly failed: Promise<Error>;
  /** Called when another process has changed the database, a tenth of a second late at the most. */
  onForeignChange: () => void = () => {};
  #fail: (cause: Error) => void = () => {};

  private constructor(worker: Worker) {
    this.#worker = worker;
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
    worker.on('message', (message: SqliteResponse | SqliteNews) => {
      if ('changed' in message) this.onForeignChange();
      else this.#settle(message);
    });
    worker.on('error', (error: Error) => this.#end(error));
    worker.on('exit', () => this.#end(new Error('the thread of the database has ended')));
  }

  /** Opens the database in `directory`. Throws FAILED_PRECONDITION if another gateway has it, unless it is shared. */
  static async open(
    directory: string,
    { workerFile = WORKER_FILE, isShared = false }: SqliteOptions = {},
  ): Promise<SqliteConnection> {
    const worker = new Worker(workerFile, {
      workerData: { directory, isShared } satisfies SqliteWorkerData,
      env: {},
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    const connection = new SqliteConnection(worker);
    try {
      await new Promise<SqliteResult>((resolve, reject) => {
        connection.#pending.set(0, { resolve, reject });
      });
    } catch (error) {
      await worker.terminate();
      throw openingError(error, directory);
    }
    return connection;
  }

  /** Runs one statement. Rejects with {@link SqliteError}. */
  execute(sql: string, parameters: readonly unknown[] = []): Promise<SqliteResult> {
    const id = ++this.#lastId;
    return this.#post({ id, sql, parameters });
  }

  /** Closes the database and ends the thread. Statements posted before are still run. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#ended) return;
    const exited = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    await this.#post({ id: ++this.#lastId, close: true });
    await exited;
  }

  #post(request: SqliteRequest): Promise<SqliteResult> {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#pending.set(request.id, { resolve, reject });
      this.#worker.postMessage(request);
    });
  }

  #settle(response: SqliteResponse): void {
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if (response.error) pending?.reject(new SqliteError(response.error));
    else pending?.resolve({ rows: response.rows ?? [], changes: response.changes ?? 0 });
  }

  #end(cause: Error): void {
    if (!this.#ended && !this.#closing) this.#fail(cause);
    this.#ended ??= cause;
    for (const pending of this.#pending.values()) pending.reject(this.#ended);
    this.#pending.clear();
  }
}

function openingError(error: unknown, directory: string): Error {
  if (
    error instanceof SqliteError &&
    error.code !== undefined &&
    (error.code & 0xff) === SQLITE_BUSY
  ) {
    return new DomainError(
      'FAILED_PRECONDITION',
      `COMPUTESDK_DATA_DIR: another gateway already uses ${directory}; stop it, or give this one its own directory`,
    );
  }
  return new DomainError(
    'FAILED_PRECONDITION',
    `cannot open the database in ${directory}: ${String(error)}`,
    {
      cause: error,
    },
  );
}
