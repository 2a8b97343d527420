import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

/** What the store's thread is started with. */
export type SqliteWorkerData = {
  readonly directory: string;
  /** Whether a gateway may be using the directory at the same time. */
  readonly isShared: boolean;
};

/** A statement to run. Statements run one after the other, in the order they were posted. */
export type SqliteRequest =
  | { readonly id: number; readonly sql: string; readonly parameters: readonly unknown[] }
  | { readonly id: number; readonly close: true };

/** The outcome of the request with the same id. Id 0 is the outcome of opening. */
export type SqliteResponse = {
  readonly id: number;
  readonly rows?: readonly unknown[];
  readonly changes?: number;
  readonly error?: SqliteFailure;
};

/** Said unasked: another process has changed the database. */
export type SqliteNews = { readonly changed: true };

/** Why a statement failed: SQLite's extended result code (undefined for any other error) and text. */
export type SqliteFailure = { readonly code: number | undefined; readonly message: string };

/** Statements kept compiled. Above it the oldest is dropped and compiled anew when it comes back. */
const MAX_STATEMENTS = 256;
/** How long another process (a backup) may hold the database before a statement fails. */
const BUSY_TIMEOUT_MS = 5000;

/** How often the database is asked whether another process changed it, in milliseconds. It costs some microseconds. */
const CHANGE_POLL_MS = 100;

const statements = new Map<string, StatementSync>();

function openLock(directory: string): DatabaseSync {
  // An exclusive transaction that is never ended: the kernel releases it with the process, however it dies.
  const path = join(directory, 'gateway.lock');
  const lock = new DatabaseSync(path, { timeout: 0 });
  lock.exec('BEGIN EXCLUSIVE');
  chmodSync(path, 0o600);
  return lock;
}

function openDatabase(directory: string): DatabaseSync {
  const path = join(directory, 'gateway.sqlite');
  const database = new DatabaseSync(path, {
    timeout: BUSY_TIMEOUT_MS,
    enableForeignKeyConstraints: true,
  });
  // Before the first page is written; the files of the WAL take the mode of the database.
  chmodSync(path, 0o600);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON');
  return database;
}

function prepare(database: DatabaseSync, sql: string): StatementSync {
  const known = statements.get(sql);
  if (known) return known;
  const [oldest] = statements.keys();
  if (statements.size >= MAX_STATEMENTS && oldest !== undefined) statements.delete(oldest);
  const statement = database.prepare(sql);
  statements.set(sql, statement);
  return statement;
}

function run(
  database: DatabaseSync,
  request: Extract<SqliteRequest, { sql: string }>,
): SqliteResponse {
  const statement = prepare(database, request.sql);
  // The query builder emits only numbers, strings and null, which SQLite takes as they are.
  const parameters = request.parameters as SQLInputValue[];
  if (statement.columns().length > 0) return { id: request.id, rows: statement.all(...parameters) };
  return { id: request.id, changes: Number(statement.run(...parameters).changes) };
}

function failure(error: unknown): SqliteFailure {
  const code: unknown = error instanceof Error && 'errcode' in error ? error.errcode : undefined;
  return {
    code: typeof code === 'number' ? code : undefined,
    message: error instanceof Error ? error.message : String(error),
  };
}

/** Tells when another connection, so another process, has committed something. */
function watchChanges(database: DatabaseSync, onChange: () => void): NodeJS.Timeout {
  const statement = database.prepare('PRAGMA data_version');
  const version = () => statement.get()?.['data_version'];
  let seen = version();
  return setInterval(() => {
    const now = version();
    if (now === seen) return;
    seen = now;
    onChange();
  }, CHANGE_POLL_MS);
}

function serve(
  port: NonNullable<typeof parentPort>,
  { directory, isShared }: SqliteWorkerData,
): void {
  const lock = isShared ? undefined : openLock(directory);
  const database = openDatabase(directory);
  const watch = watchChanges(database, () => {
    port.postMessage({ changed: true } satisfies SqliteNews);
  });
  port.on('message', (request: SqliteRequest) => {
    try {
      if ('close' in request) {
        clearInterval(watch);
        database.close();
        lock?.close();
        port.postMessage({ id: request.id } satisfies SqliteResponse);
        port.close();
        return;
      }
      port.postMessage(run(database, request));
    } catch (error) {
      port.postMessage({ id: request.id, error: failure(error) } satisfies SqliteResponse);
    }
  });
  port.postMessage({ id: 0 } satisfies SqliteResponse);
}

if (parentPort) {
  try {
    // Only sqlite-connection.ts starts this file, with exactly this value.
    serve(parentPort, workerData as SqliteWorkerData);
  } catch (error) {
    parentPort.postMessage({ id: 0, error: failure(error) } satisfies SqliteResponse);
    parentPort.close();
  }
}
