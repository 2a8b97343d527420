import type { Kysely } from 'kysely';
import type { Tables } from './schema.ts';

/** Tables of things that a sandbox has many of, each of which ends or expires one day. */
type Perishable = 'session_tokens' | 'magic_links';

/** How many such things a sandbox has, or has alive. Part of the caller's transaction. */
export async function countOf(
  transaction: Kysely<Tables>,
  table: Perishable,
  query: { sandboxId: string; liveAt?: number },
): Promise<number> {
  let select = transaction
    .selectFrom(table)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('sandbox_id', '=', query.sandboxId);
  if (query.liveAt !== undefined) {
    select = select.where('ended_at', 'is', null).where('expires_at', '>', query.liveAt);
  }
  return (await select.executeTakeFirstOrThrow()).count;
}

/** Forgets the oldest that ended, so that one more can be kept. Part of the caller's transaction. */
export async function makeRoom(
  transaction: Kysely<Tables>,
  table: Perishable,
  query: { sandboxId: string; createdAt: number; keptLimit: number },
): Promise<void> {
  const { sandboxId, createdAt, keptLimit } = query;
  const kept = await countOf(transaction, table, { sandboxId });
  if (kept < keptLimit) return;
  await transaction
    .deleteFrom(table)
    .where('sequence', 'in', (select) =>
      select
        .selectFrom(table)
        .select('sequence')
        .where('sandbox_id', '=', sandboxId)
        .where((column) =>
          column.or([column('ended_at', 'is not', null), column('expires_at', '<=', createdAt)]),
        )
        .orderBy('sequence')
        .limit(kept - keptLimit + 1),
    )
    .execute();
}
