import type { Kysely } from 'kysely';
import type { TokenEnding, TokenEndingFeed } from '../auth/session-token.ts';
import type { Tables } from './schema.ts';
import type { SqliteConnection } from './sqlite-connection.ts';

/** Endings kept for others to read. A process that was away for longer reads everything anew anyway. */
const MAX_KEPT_ENDINGS = 100_000;

/**
 * Tells which tokens another process ended. Triggers write down every ending, whoever makes it; the
 * database says when somebody else has written.
 */
export class TokenEndings implements TokenEndingFeed {
  readonly #database: Kysely<Tables>;
  readonly #connection: SqliteConnection;
  /** Sequence of the last ending that was read. Only grows. */
  #seen = 0;
  /** Reads one after the other, so that each ending is told once. */
  #reading: Promise<void> = Promise.resolve();

  constructor(database: Kysely<Tables>, connection: SqliteConnection) {
    this.#database = database;
    this.#connection = connection;
  }

  async start(
    onChanged: (endings: readonly TokenEnding[]) => Promise<void>,
    onError: (error: unknown) => void,
  ): Promise<void> {
    this.#seen = await this.#last();
    this.#connection.onForeignChange = () => {
      this.#reading = this.#reading.then(() => this.#read(onChanged)).catch(onError);
    };
  }

  async purge(): Promise<void> {
    const last = await this.#last();
    await this.#database
      .deleteFrom('token_endings')
      .where('sequence', '<=', last - MAX_KEPT_ENDINGS)
      .execute();
  }

  async #read(onChanged: (endings: readonly TokenEnding[]) => Promise<void>): Promise<void> {
    const rows = await this.#database
      .selectFrom('token_endings')
      .selectAll()
      .where('sequence', '>', this.#seen)
      .orderBy('sequence')
      .execute();
    this.#seen = rows.at(-1)?.sequence ?? this.#seen;
    await onChanged(rows.map((row) => ({ tokenId: row.token_id, reason: row.reason })));
  }

  async #last(): Promise<number> {
    const row = await this.#database
      .selectFrom('token_endings')
      .select(({ fn }) => fn.max('sequence').as('last'))
      .executeTakeFirst();
    return row?.last ?? 0;
  }
}
