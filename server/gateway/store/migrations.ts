import { DomainError } from '../../core/domain-error.ts';
import type { SqliteConnection } from './sqlite-connection.ts';

/**
 * The steps from an empty database to the newest schema. The database counts how many it took, in
 * `user_version`. A step that was released is never edited; a change is a new step at the end.
 */
const MIGRATIONS: readonly (readonly string[])[] = [
  [
    `CREATE TABLE installation (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL) STRICT`,
    `CREATE TABLE workspaces (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL) STRICT`,
    `CREATE TABLE api_keys (
      id TEXT PRIMARY KEY,
      workspace_id TEXT NOT NULL REFERENCES workspaces (id),
      hash TEXT NOT NULL UNIQUE,
      created_at INTEGER NOT NULL,
      retired_at INTEGER
    ) STRICT`,
    `CREATE TABLE signing_keys (id TEXT PRIMARY KEY, jwk TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT`,
    `CREATE TABLE sandboxes (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      workspace_id TEXT NOT NULL REFERENCES workspaces (id),
      namespace TEXT NOT NULL,
      name TEXT NOT NULL,
      metadata TEXT NOT NULL,
      status TEXT NOT NULL,
      failure TEXT NOT NULL,
      driver TEXT NOT NULL,
      uid INTEGER UNIQUE,
      created_at INTEGER NOT NULL,
      expires_at INTEGER NOT NULL,
      boot_id TEXT,
      previous_boot_ids TEXT NOT NULL,
      handle TEXT
    ) STRICT`,
    `CREATE UNIQUE INDEX sandboxes_by_name ON sandboxes (workspace_id, namespace, name)
      WHERE name <> '' AND status <> 'destroying'`,
    `CREATE TABLE session_tokens (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      sandbox_id TEXT NOT NULL,
      description TEXT NOT NULL,
      scopes TEXT NOT NULL,
      metadata TEXT NOT NULL,
      signing_key_id TEXT NOT NULL REFERENCES signing_keys (id),
      created_at INTEGER NOT NULL,
      expires_at INTEGER NOT NULL,
      last_used_at INTEGER,
      ended_at INTEGER,
      end_reason TEXT
    ) STRICT`,
    `CREATE INDEX session_tokens_by_sandbox ON session_tokens (sandbox_id, sequence)`,
    `CREATE INDEX session_tokens_by_expiry ON session_tokens (expires_at)`,
    `CREATE INDEX session_tokens_by_end ON session_tokens (ended_at) WHERE ended_at IS NOT NULL`,
    `CREATE TABLE requests (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      principal_id TEXT NOT NULL,
      method TEXT NOT NULL,
      request_id TEXT NOT NULL,
      result_id TEXT NOT NULL,
      created_at INTEGER NOT NULL
    ) STRICT`,
    `CREATE UNIQUE INDEX requests_by_id ON requests (principal_id, method, request_id)`,
    `CREATE INDEX requests_by_age ON requests (created_at)`,
  ],
  [
    `ALTER TABLE session_tokens ADD COLUMN kind TEXT NOT NULL DEFAULT 'created'`,
    `ALTER TABLE session_tokens ADD COLUMN subjects TEXT NOT NULL DEFAULT '[]'`,
    `ALTER TABLE signing_keys ADD COLUMN removed_at INTEGER`,
    `CREATE TABLE magic_links (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      sandbox_id TEXT NOT NULL,
      hash TEXT NOT NULL UNIQUE,
      salt TEXT NOT NULL,
      redirect_url TEXT NOT NULL,
      description TEXT NOT NULL,
      scopes TEXT NOT NULL,
      token_expires_in INTEGER NOT NULL,
      created_at INTEGER NOT NULL,
      expires_at INTEGER NOT NULL,
      ended_at INTEGER,
      end_reason TEXT,
      nonce_hash TEXT,
      token_id TEXT
    ) STRICT`,
    `CREATE INDEX magic_links_by_sandbox ON magic_links (sandbox_id, sequence)`,
    `CREATE INDEX magic_links_by_expiry ON magic_links (expires_at)`,
    `CREATE TABLE browser_sessions (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      hash TEXT NOT NULL UNIQUE,
      created_at INTEGER NOT NULL
    ) STRICT`,
    `CREATE TABLE browser_grants (
      session_sequence INTEGER NOT NULL REFERENCES browser_sessions (sequence) ON DELETE CASCADE,
      sandbox_id TEXT NOT NULL,
      token_id TEXT PRIMARY KEY REFERENCES session_tokens (id) ON DELETE CASCADE
    ) STRICT`,
    `CREATE INDEX browser_grants_by_session ON browser_grants (session_sequence)`,
    // Tells every process that uses the database what another one ended, whatever wrote it.
    `CREATE TABLE token_endings (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      token_id TEXT NOT NULL,
      reason TEXT NOT NULL
    ) STRICT`,
    `CREATE TRIGGER session_token_ends AFTER UPDATE OF ended_at ON session_tokens
      WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL
      BEGIN INSERT INTO token_endings (token_id, reason) VALUES (NEW.id, NEW.end_reason); END`,
    `CREATE TRIGGER session_token_vanishes AFTER DELETE ON session_tokens
      WHEN OLD.ended_at IS NULL
      BEGIN INSERT INTO token_endings (token_id, reason) VALUES (OLD.id, 'REVOKED'); END`,
  ],
  [
    `ALTER TABLE sandboxes ADD COLUMN previews TEXT NOT NULL DEFAULT 'private'`,
    `CREATE TABLE preview_passes (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      hash TEXT NOT NULL UNIQUE,
      kind TEXT NOT NULL,
      sandbox_id TEXT NOT NULL,
      port INTEGER NOT NULL,
      principal_id TEXT NOT NULL,
      expires_at INTEGER NOT NULL,
      access_expires_at INTEGER NOT NULL
    ) STRICT`,
    `CREATE INDEX preview_passes_by_sandbox ON preview_passes (sandbox_id, kind, sequence)`,
    `CREATE INDEX preview_passes_by_expiry ON preview_passes (expires_at)`,
  ],
  [
    `ALTER TABLE sandboxes ADD COLUMN public_ports TEXT NOT NULL DEFAULT '[]'`,
    `ALTER TABLE sandboxes ADD COLUMN preview_host TEXT NOT NULL DEFAULT 'localhost'`,
  ],
];

/** Brings the database to the newest schema, each step in one transaction. */
export async function migrate(connection: SqliteConnection): Promise<void> {
  const taken = await userVersion(connection);
  if (taken > MIGRATIONS.length) {
    throw new DomainError(
      'FAILED_PRECONDITION',
      `the database was written by a newer version of computesdk (schema ${taken}, this one knows ${MIGRATIONS.length}): run that version, or choose another COMPUTESDK_DATA_DIR`,
    );
  }
  for (const [index, step] of MIGRATIONS.entries()) {
    if (index >= taken) await takeStep(connection, step, index + 1);
  }
}

/** Throws FAILED_PRECONDITION unless the database has the newest schema. For a command beside a running gateway. */
export async function requireNewestSchema(connection: SqliteConnection): Promise<void> {
  if ((await userVersion(connection)) === MIGRATIONS.length) return;
  throw new DomainError(
    'FAILED_PRECONDITION',
    'COMPUTESDK_DATA_DIR: no gateway of this version has used it yet: start one, then try again',
  );
}

async function takeStep(
  connection: SqliteConnection,
  step: readonly string[],
  version: number,
): Promise<void> {
  await connection.execute('BEGIN IMMEDIATE');
  try {
    for (const statement of step) await connection.execute(statement);
    await connection.execute(`PRAGMA user_version = ${version}`);
    await connection.execute('COMMIT');
  } catch (error) {
    await connection.execute('ROLLBACK');
    throw error;
  }
}

async function userVersion(connection: SqliteConnection): Promise<number> {
  const { rows } = await connection.execute('PRAGMA user_version');
  const [row] = rows;
  if (typeof row === 'object' && row !== null && 'user_version' in row)
    return Number(row.user_version);
  return 0;
}
