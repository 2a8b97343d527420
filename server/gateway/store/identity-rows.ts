import type { Kysely } from 'kysely';
import type {
  ApiKeyRecord,
  IdentityStore,
  KeptSigningKey,
  SigningKeyRecord,
} from '../auth/identity.ts';
import type { Tables } from './schema.ts';

/** Keeps the installation's id, its API keys and its signing keys in the database. */
export class IdentityRows implements IdentityStore {
  readonly #database: Kysely<Tables>;

  constructor(database: Kysely<Tables>) {
    this.#database = database;
  }

  installation(candidate: string, now: number): Promise<string> {
    return this.#database.transaction().execute(async (transaction) => {
      const row = await transaction.selectFrom('installation').select('id').executeTakeFirst();
      if (row) return row.id;
      await transaction
        .insertInto('installation')
        .values({ id: candidate, created_at: now })
        .execute();
      return candidate;
    });
  }

  useApiKey(key: ApiKeyRecord, now: number): Promise<ApiKeyRecord> {
    const { id, workspaceId, hash } = key;
    return this.#database.transaction().execute(async (transaction) => {
      await addWorkspace(transaction, workspaceId, now);
      await transaction
        .updateTable('api_keys')
        .set({ retired_at: now })
        .where('workspace_id', '=', workspaceId)
        .where('hash', '<>', hash)
        .where('retired_at', 'is', null)
        .execute();
      const row = await transaction
        .insertInto('api_keys')
        .values({ id, workspace_id: workspaceId, hash, created_at: now })
        .onConflict((conflict) => conflict.column('hash').doUpdateSet({ retired_at: null }))
        .returning(['id', 'workspace_id', 'hash'])
        .executeTakeFirstOrThrow();
      return { id: row.id, workspaceId: row.workspace_id, hash: row.hash };
    });
  }

  async addWorkspace(id: string, now: number): Promise<void> {
    await addWorkspace(this.#database, id, now);
  }

  async signingKeys(): Promise<readonly KeptSigningKey[]> {
    return await this.#database
      .selectFrom('signing_keys')
      .select(['id', 'jwk', 'created_at as createdAt'])
      .where('removed_at', 'is', null)
      .orderBy('created_at', 'desc')
      .orderBy('id')
      .execute();
  }

  async addSigningKey(key: SigningKeyRecord, now: number): Promise<void> {
    await this.#database
      .insertInto('signing_keys')
      .values({ id: key.id, jwk: key.jwk, created_at: now })
      .execute();
  }

  removeSigningKey(id: string, now: number): Promise<number | undefined> {
    return this.#database.transaction().execute(async (transaction) => {
      const removed = await transaction
        .updateTable('signing_keys')
        .set({ jwk: '', removed_at: now })
        .where('id', '=', id)
        .where('removed_at', 'is', null)
        .returning('id')
        .executeTakeFirst();
      if (!removed) return undefined;
      // What a magic link made has no text, so no key signed it.
      const revoked = await transaction
        .updateTable('session_tokens')
        .set({ ended_at: now, end_reason: 'REVOKED' })
        .where('signing_key_id', '=', id)
        .where('kind', '=', 'created')
        .where('ended_at', 'is', null)
        .where('expires_at', '>', now)
        .returning('id')
        .execute();
      return revoked.length;
    });
  }
}

async function addWorkspace(database: Kysely<Tables>, id: string, now: number): Promise<void> {
  await database
    .insertInto('workspaces')
    .values({ id, created_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}
