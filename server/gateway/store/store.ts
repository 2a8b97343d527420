import { Kysely } from 'kysely';
import { BrowserSessionRows } from './browser-session-rows.ts';
import { IdentityRows } from './identity-rows.ts';
import { MagicLinkRows } from './magic-link-rows.ts';
import { migrate, requireNewestSchema } from './migrations.ts';
import { PreviewPassRows } from './preview-pass-rows.ts';
import { SandboxRows } from './sandbox-rows.ts';
import type { Tables } from './schema.ts';
import { SessionTokenRows } from './session-token-rows.ts';
import { SqliteConnection, type SqliteOptions } from './sqlite-connection.ts';
import { sqliteDialect } from './sqlite-dialect.ts';
import { TokenEndings } from './token-endings.ts';

/** Everything the gateway keeps. What a method acknowledged survives any death of the process. */
export class Store {
  readonly identity: IdentityRows;
  readonly sandboxes: SandboxRows;
  readonly sessionTokens: SessionTokenRows;
  readonly magicLinks: MagicLinkRows;
  readonly browserSessions: BrowserSessionRows;
  readonly tokenEndings: TokenEndings;
  readonly previewPasses: PreviewPassRows;
  readonly #connection: SqliteConnection;
  readonly #database: Kysely<Tables>;

  private constructor(connection: SqliteConnection) {
    this.#connection = connection;
    this.#database = new Kysely<Tables>({ dialect: sqliteDialect(connection) });
    this.identity = new IdentityRows(this.#database);
    this.sandboxes = new SandboxRows(this.#database);
    this.sessionTokens = new SessionTokenRows(this.#database);
    this.magicLinks = new MagicLinkRows(this.#database);
    this.browserSessions = new BrowserSessionRows(this.#database);
    this.tokenEndings = new TokenEndings(this.#database, connection);
    this.previewPasses = new PreviewPassRows(this.#database);
  }

  /**
   * Opens the database in an existing directory, or makes it, and holds the directory's lock until
   * it is closed. Throws FAILED_PRECONDITION if another gateway holds it. A shared one takes no lock:
   * it is for a command beside a running gateway, which sees what it changes.
   */
  static async open(
    directory: string,
    options: Pick<SqliteOptions, 'isShared'> = {},
  ): Promise<Store> {
    const connection = await SqliteConnection.open(directory, options);
    try {
      if (options.isShared) await requireNewestSchema(connection);
      else await migrate(connection);
    } catch (error) {
      await connection.close();
      throw error;
    }
    return new Store(connection);
  }

  /** Settles when the database's thread has died of itself; it never comes back. */
  get failed(): Promise<Error> {
    return this.#connection.failed;
  }

  /** Finishes what was asked and gives the lock back. Idempotent. */
  async close(): Promise<void> {
    await this.#database.destroy();
    await this.#connection.close();
  }
}
