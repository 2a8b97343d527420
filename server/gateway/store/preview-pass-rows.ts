import type { Kysely } from 'kysely';
import type { PreviewPass, PreviewPassStore } from '../auth/preview-pass.ts';
import type { Tables } from './schema.ts';

/** Rows deleted by one purge, so that no transaction holds the others up. */
const PURGE_BATCH = 1000;
const PASS = ['sandbox_id', 'port', 'principal_id', 'access_expires_at'] as const;

/** Keeps what opens previews in the database. */
export class PreviewPassRows implements PreviewPassStore {
  readonly #database: Kysely<Tables>;

  constructor(database: Kysely<Tables>) {
    this.#database = database;
  }

  insertTicket(...[pass, ticket]: Parameters<PreviewPassStore['insertTicket']>): Promise<boolean> {
    const { sandboxId, port, principalId, accessExpiresAt } = pass;
    return this.#database.transaction().execute(async (transaction) => {
      const { live } = await transaction
        .selectFrom('preview_passes')
        .select(({ fn }) => fn.countAll<number>().as('live'))
        .where('sandbox_id', '=', sandboxId)
        .where('kind', '=', 'ticket')
        .where('expires_at', '>', ticket.now)
        .executeTakeFirstOrThrow();
      if (live >= ticket.liveLimit) return false;
      await transaction
        .insertInto('preview_passes')
        .values({
          ...{ hash: ticket.hash, kind: 'ticket', sandbox_id: sandboxId, port },
          ...{ principal_id: principalId, access_expires_at: accessExpiresAt },
          expires_at: ticket.expiresAt,
        })
        .execute();
      return true;
    });
  }

  useTicket(use: Parameters<PreviewPassStore['useTicket']>[0]): Promise<PreviewPass | undefined> {
    return this.#database.transaction().execute(async (transaction) => {
      const row = await transaction
        .updateTable('preview_passes')
        .set(({ ref }) => ({
          ...{ hash: use.cookieHash, kind: 'cookie' as const },
          expires_at: ref('access_expires_at'),
        }))
        .where('hash', '=', use.ticketHash)
        .where('kind', '=', 'ticket')
        .where('sandbox_id', '=', use.sandboxId)
        .where('port', '=', use.port)
        .where('expires_at', '>', use.now)
        .returning(PASS)
        .executeTakeFirst();
      if (row) await forgetOldest(transaction, use);
      return row && passOf(row);
    });
  }

  async findCookie(hash: string): Promise<PreviewPass | undefined> {
    const row = await this.#database
      .selectFrom('preview_passes')
      .select(PASS)
      .where('hash', '=', hash)
      .where('kind', '=', 'cookie')
      .executeTakeFirst();
    return row && passOf(row);
  }

  async purge(now: number): Promise<void> {
    await this.#database
      .deleteFrom('preview_passes')
      .where('sequence', 'in', (query) =>
        query
          .selectFrom('preview_passes')
          .select('sequence')
          .where('expires_at', '<=', now)
          .limit(PURGE_BATCH),
      )
      .execute();
  }
}

/** Keeps a sandbox from having more cookies than it may. */
async function forgetOldest(
  transaction: Kysely<Tables>,
  query: { readonly sandboxId: string; readonly cookieLimit: number },
): Promise<void> {
  await transaction
    .deleteFrom('preview_passes')
    .where('sequence', 'in', (select) =>
      select
        .selectFrom('preview_passes')
        .select('sequence')
        .where('sandbox_id', '=', query.sandboxId)
        .where('kind', '=', 'cookie')
        .orderBy('sequence', 'desc')
        .limit(1)
        .offset(query.cookieLimit),
    )
    .execute();
}

function passOf(row: {
  sandbox_id: string;
  port: number;
  principal_id: string;
  access_expires_at: number;
}): PreviewPass {
  return {
    sandboxId: row.sandbox_id,
    port: row.port,
    principalId: row.principal_id,
    accessExpiresAt: row.access_expires_at,
  };
}
