import type { Kysely } from 'kysely';
import { DomainError } from '../../core/domain-error.ts';
import type { Tables } from './schema.ts';

/** Who asks for what, so that a retry is known again. */
export type RequestKey = {
  readonly principalId: string;
  readonly method: string;
  /** Empty: not to be known again. */
  readonly requestId: string;
};

/** How long a request is known again, in milliseconds. */
export const REQUEST_MEMORY_MS = 10 * 60_000;
/** Requests remembered at most, some 100 bytes each. Above it requests with an id are refused for now. */
const MAX_REQUESTS = 200_000;

/** What the request made when it was here before. Part of the caller's transaction. */
export async function findRequest(
  transaction: Kysely<Tables>,
  key: RequestKey,
  now: number,
): Promise<string | undefined> {
  if (key.requestId === '') return undefined;
  const row = await transaction
    .selectFrom('requests')
    .select('result_id')
    .where('principal_id', '=', key.principalId)
    .where('method', '=', key.method)
    .where('request_id', '=', key.requestId)
    .where('created_at', '>', now - REQUEST_MEMORY_MS)
    .executeTakeFirst();
  return row?.result_id;
}

/** Remembers what the request made. Part of the caller's transaction. */
export async function keepRequest(
  transaction: Kysely<Tables>,
  key: RequestKey,
  made: { readonly resultId: string; readonly now: number },
): Promise<void> {
  if (key.requestId === '') return;
  const { resultId, now } = made;
  await transaction
    .deleteFrom('requests')
    .where('created_at', '<=', now - REQUEST_MEMORY_MS)
    .execute();
  await refuseWhenFull(transaction);
  await transaction
    .insertInto('requests')
    .values({
      principal_id: key.principalId,
      method: key.method,
      request_id: key.requestId,
      result_id: resultId,
      created_at: now,
    })
    // What it made before is forgotten by now, or the caller would not be here.
    .onConflict((conflict) =>
      conflict
        .columns(['principal_id', 'method', 'request_id'])
        .doUpdateSet({ result_id: resultId, created_at: now }),
    )
    .execute();
}

/** Forgets the request that made this result, because it could not be made after all. */
export async function forgetRequest(transaction: Kysely<Tables>, resultId: string): Promise<void> {
  await transaction.deleteFrom('requests').where('result_id', '=', resultId).execute();
}

async function refuseWhenFull(transaction: Kysely<Tables>): Promise<void> {
  // Rows leave oldest first, so the span of the sequence bounds their number; each end is one index look-up.
  const ends = transaction.selectFrom('requests').select('sequence').limit(1);
  const first = await ends.orderBy('sequence', 'asc').executeTakeFirst();
  const last = await ends.orderBy('sequence', 'desc').executeTakeFirst();
  if ((last?.sequence ?? 0) - (first?.sequence ?? 0) < MAX_REQUESTS) return;
  throw new DomainError(
    'LIMIT_REACHED',
    `more than ${MAX_REQUESTS} requests with a requestId within 10 minutes: try again later`,
    { retryAfterMs: 60_000 },
  );
}
