import type { Kysely } from 'kysely';
import type { BrowserSession, BrowserSessionStore } from '../auth/browser-session.ts';
import type { Tables } from './schema.ts';
import { tokenOf } from './session-token-rows.ts';

/** Keeps browser sessions in the database. */
export class BrowserSessionRows implements BrowserSessionStore {
  readonly #database: Kysely<Tables>;

  constructor(database: Kysely<Tables>) {
    this.#database = database;
  }

  async find(hash: string): Promise<BrowserSession | undefined> {
    const rows = await this.#database
      .selectFrom('browser_sessions')
      .innerJoin('browser_grants', 'session_sequence', 'browser_sessions.sequence')
      .innerJoin('session_tokens', 'session_tokens.id', 'browser_grants.token_id')
      .selectAll('session_tokens')
      .where('hash', '=', hash)
      .orderBy('session_tokens.sequence', 'desc')
      .execute();
    return rows.length === 0 ? undefined : { tokens: rows.map(tokenOf) };
  }

  end(
    query: Parameters<BrowserSessionStore['end']>[0],
  ): Promise<{ readonly endedTokenIds: readonly string[]; readonly isGone: boolean }> {
    return this.#database.transaction().execute((transaction) => endOnce(transaction, query));
  }

  async purge(): Promise<void> {
    await this.#database
      .deleteFrom('browser_sessions')
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('browser_grants')
              .select('token_id')
              .whereRef('session_sequence', '=', 'browser_sessions.sequence'),
          ),
        ),
      )
      .execute();
  }
}

async function endOnce(
  transaction: Kysely<Tables>,
  { hash, sandboxId, now }: Parameters<BrowserSessionStore['end']>[0],
): Promise<{ readonly endedTokenIds: readonly string[]; readonly isGone: boolean }> {
  const session = await transaction
    .selectFrom('browser_sessions')
    .select('sequence')
    .where('hash', '=', hash)
    .executeTakeFirst();
  if (!session) return { endedTokenIds: [], isGone: true };
  let grants = transaction
    .deleteFrom('browser_grants')
    .where('session_sequence', '=', session.sequence);
  if (sandboxId !== undefined) grants = grants.where('sandbox_id', '=', sandboxId);
  const tokenIds = (await grants.returning('token_id').execute()).map((row) => row.token_id);
  const ended =
    tokenIds.length === 0
      ? []
      : await transaction
          .updateTable('session_tokens')
          .set({ ended_at: now, end_reason: 'REVOKED' })
          .where('id', 'in', tokenIds)
          .where('ended_at', 'is', null)
          .returning('id')
          .execute();
  const left = await transaction
    .selectFrom('browser_grants')
    .select('token_id')
    .where('session_sequence', '=', session.sequence)
    .executeTakeFirst();
  if (!left) {
    await transaction
      .deleteFrom('browser_sessions')
      .where('sequence', '=', session.sequence)
      .execute();
  }
  return { endedTokenIds: ended.map(({ id }) => id), isGone: !left };
}
