import type { Kysely, Selectable } from 'kysely';
import { DomainError } from '../../core/domain-error.ts';
import type {
  NewSessionToken,
  SessionToken,
  SessionTokenStore,
  TokenInsertion,
} from '../auth/session-token.ts';
import { countOf, makeRoom } from './perishable-rows.ts';
import { findRequest, keepRequest } from './requests.ts';
import type { SessionTokenTable, Tables } from './schema.ts';

/** Rows deleted by one purge, so that no transaction holds the others up. */
const PURGE_BATCH = 1000;

/** Keeps session tokens in the database. */
export class SessionTokenRows implements SessionTokenStore {
  readonly #database: Kysely<Tables>;

  constructor(database: Kysely<Tables>) {
    this.#database = database;
  }

  insert(token: NewSessionToken): Promise<TokenInsertion> {
    return this.#database.transaction().execute((transaction) => insertOnce(transaction, token));
  }

  get(id: string): Promise<SessionToken | undefined> {
    return findToken(this.#database, id);
  }

  async list(query: Parameters<SessionTokenStore['list']>[0]): Promise<readonly SessionToken[]> {
    const { sandboxId, now, page } = query;
    const rows = await this.#database
      .selectFrom('session_tokens')
      .selectAll()
      .where('sandbox_id', '=', sandboxId)
      .where('ended_at', 'is', null)
      .where('expires_at', '>', now)
      .where('sequence', '>', page.after)
      .orderBy('sequence')
      .limit(page.size)
      .execute();
    return rows.map(tokenOf);
  }

  inherit(...[ids, merge]: Parameters<SessionTokenStore['inherit']>) {
    return this.#database.transaction().execute(async (transaction) => {
      const token = await findToken(transaction, ids.tokenId);
      const previous = await findToken(transaction, ids.previousId);
      const subjects = token && previous && merge(token, previous);
      if (!token || !subjects) return undefined;
      await transaction
        .updateTable('session_tokens')
        .set({ subjects: JSON.stringify(subjects) })
        .where('id', '=', token.id)
        .execute();
      return { ...token, subjects };
    });
  }

  async end(
    id: string,
    reason: NonNullable<SessionToken['endReason']>,
    now: number,
  ): Promise<void> {
    await this.#database
      .updateTable('session_tokens')
      .set({ ended_at: now, end_reason: reason })
      .where('id', '=', id)
      .where('ended_at', 'is', null)
      .execute();
  }

  async revokeAll(sandboxId: string, now: number): Promise<readonly string[]> {
    const rows = await this.#database
      .updateTable('session_tokens')
      .set({ ended_at: now, end_reason: 'REVOKED' })
      .where('sandbox_id', '=', sandboxId)
      .where('ended_at', 'is', null)
      .where('expires_at', '>', now)
      .returning('id')
      .execute();
    return rows.map((row) => row.id);
  }

  async saveLastUsed(lastUsedAt: ReadonlyMap<string, number>): Promise<void> {
    if (lastUsedAt.size === 0) return;
    await this.#database.transaction().execute(async (transaction) => {
      for (const [id, usedAt] of lastUsedAt) {
        await transaction
          .updateTable('session_tokens')
          .set({ last_used_at: usedAt })
          .where('id', '=', id)
          .execute();
      }
    });
  }

  async purge(endedBefore: number): Promise<void> {
    await this.#database.transaction().execute(async (transaction) => {
      // One index each: a condition on both columns would read the whole table.
      for (const column of ['ended_at', 'expires_at'] as const) {
        await transaction
          .deleteFrom('session_tokens')
          .where('sequence', 'in', (query) =>
            query
              .selectFrom('session_tokens')
              .select('sequence')
              .where(column, '<', endedBefore)
              .limit(PURGE_BATCH),
          )
          .execute();
      }
    });
  }
}

async function insertOnce(
  transaction: Kysely<Tables>,
  token: NewSessionToken,
): Promise<TokenInsertion> {
  const { sandboxId, createdAt: now } = token;
  const sandbox = await transaction
    .selectFrom('sandboxes')
    .select('id')
    .where('id', '=', sandboxId)
    .where('status', '<>', 'destroying')
    .executeTakeFirst();
  if (!sandbox) return { kind: 'no_sandbox' };
  const made = await findRequest(transaction, token.request, now);
  const repeated = made === undefined ? undefined : await findToken(transaction, made);
  if (repeated) return { kind: 'repeated', token: repeated };
  await requireKey(transaction, token.signingKeyId);
  const live = await countOf(transaction, 'session_tokens', { sandboxId, liveAt: now });
  if (live >= token.liveLimit) return { kind: 'limit' };
  await makeRoom(transaction, 'session_tokens', token);
  const row = await transaction
    .insertInto('session_tokens')
    .values({
      id: token.id,
      sandbox_id: sandboxId,
      description: token.description,
      scopes: JSON.stringify(token.scopes),
      metadata: JSON.stringify(token.metadata),
      signing_key_id: token.signingKeyId,
      created_at: now,
      expires_at: token.expiresAt,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await keepRequest(transaction, token.request, { resultId: token.id, now });
  return { kind: 'created', token: tokenOf(row) };
}

/** Another process may have removed the key a moment ago; what it signs then would open nothing. */
async function requireKey(transaction: Kysely<Tables>, id: string): Promise<void> {
  const key = await transaction
    .selectFrom('signing_keys')
    .select('id')
    .where('id', '=', id)
    .where('removed_at', 'is', null)
    .executeTakeFirst();
  if (key) return;
  throw new DomainError('CONFLICT', 'the signing key was removed in this moment: try again', {
    retryAfterMs: 1000,
  });
}

/** The record of an id. */
export async function findToken(
  database: Kysely<Tables>,
  id: string,
): Promise<SessionToken | undefined> {
  const row = await database
    .selectFrom('session_tokens')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
  return row && tokenOf(row);
}

/** The record of a row. */
export function tokenOf(row: Selectable<SessionTokenTable>): SessionToken {
  return {
    sequence: row.sequence,
    id: row.id,
    kind: row.kind,
    subjects: JSON.parse(row.subjects),
    sandboxId: row.sandbox_id,
    description: row.description,
    scopes: JSON.parse(row.scopes),
    metadata: JSON.parse(row.metadata),
    signingKeyId: row.signing_key_id,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
    endedAt: row.ended_at,
    endReason: row.end_reason,
  };
}
