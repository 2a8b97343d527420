import type { Kysely } from 'kysely';
import type { LinkInsertion, MagicLink, MagicLinkStore, NewMagicLink } from '../auth/magic-link.ts';
import { linkOf } from './magic-link-record.ts';
import { countOf, makeRoom } from './perishable-rows.ts';
import { redeemOnce } from './redemption.ts';
import { findRequest, keepRequest } from './requests.ts';
import type { Tables } from './schema.ts';

/** Rows deleted by one purge, so that no transaction holds the others up. */
const PURGE_BATCH = 1000;

/** Keeps magic links in the database. */
export class MagicLinkRows implements MagicLinkStore {
  readonly #database: Kysely<Tables>;

  constructor(database: Kysely<Tables>) {
    this.#database = database;
  }

  insert(link: NewMagicLink): Promise<LinkInsertion> {
    return this.#database.transaction().execute((transaction) => insertOnce(transaction, link));
  }

  get(id: string): Promise<MagicLink | undefined> {
    return findBy(this.#database, 'id', id);
  }

  findByHash(hash: string): Promise<MagicLink | undefined> {
    return findBy(this.#database, 'hash', hash);
  }

  async list(query: Parameters<MagicLinkStore['list']>[0]): Promise<readonly MagicLink[]> {
    const { sandboxId, now, page } = query;
    const rows = await this.#database
      .selectFrom('magic_links')
      .selectAll()
      .where('sandbox_id', '=', sandboxId)
      .where('ended_at', 'is', null)
      .where('expires_at', '>', now)
      .where('sequence', '>', page.after)
      .orderBy('sequence')
      .limit(page.size)
      .execute();
    return rows.map(linkOf);
  }

  async revoke(id: string, now: number): Promise<boolean> {
    const row = await this.#database
      .updateTable('magic_links')
      .set({ ended_at: now, end_reason: 'REVOKED' })
      .where('id', '=', id)
      .where('ended_at', 'is', null)
      .returning('id')
      .executeTakeFirst();
    return row !== undefined;
  }

  redeem(redemption: Parameters<MagicLinkStore['redeem']>[0]) {
    return this.#database
      .transaction()
      .execute((transaction) => redeemOnce(transaction, redemption));
  }

  async purge(endedBefore: number): Promise<void> {
    await this.#database
      .deleteFrom('magic_links')
      .where('sequence', 'in', (query) =>
        query
          .selectFrom('magic_links')
          .select('sequence')
          .where('expires_at', '<', endedBefore)
          .limit(PURGE_BATCH),
      )
      .execute();
  }
}

async function findBy(
  database: Kysely<Tables>,
  column: 'id' | 'hash',
  value: string,
): Promise<MagicLink | undefined> {
  const row = await database
    .selectFrom('magic_links')
    .selectAll()
    .where(column, '=', value)
    .executeTakeFirst();
  return row && linkOf(row);
}

async function insertOnce(transaction: Kysely<Tables>, link: NewMagicLink): Promise<LinkInsertion> {
  const { sandboxId, createdAt: now } = link;
  const sandbox = await transaction
    .selectFrom('sandboxes')
    .select('id')
    .where('id', '=', sandboxId)
    .where('status', '<>', 'destroying')
    .executeTakeFirst();
  if (!sandbox) return { kind: 'no_sandbox' };
  const made = await findRequest(transaction, link.request, now);
  const repeated = made === undefined ? undefined : await findBy(transaction, 'id', made);
  if (repeated) return { kind: 'repeated', link: repeated };
  const live = await countOf(transaction, 'magic_links', { sandboxId, liveAt: now });
  if (live >= link.liveLimit) return { kind: 'limit' };
  await makeRoom(transaction, 'magic_links', link);
  const row = await transaction
    .insertInto('magic_links')
    .values({
      id: link.id,
      sandbox_id: sandboxId,
      hash: link.hash,
      salt: link.salt,
      redirect_url: link.redirectUrl,
      description: link.description,
      scopes: JSON.stringify(link.scopes),
      token_expires_in: link.tokenExpiresInMs,
      created_at: now,
      expires_at: link.expiresAt,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await keepRequest(transaction, link.request, { resultId: link.id, now });
  return { kind: 'created', link: linkOf(row) };
}
