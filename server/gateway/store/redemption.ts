import type { Kysely } from 'kysely';
import type { MagicLink, Redemption, RedemptionResult } from '../auth/magic-link.ts';
import type { SessionToken } from '../auth/session-token.ts';
import { linkOf } from './magic-link-record.ts';
import { countOf } from './perishable-rows.ts';
import type { Tables } from './schema.ts';
import { findToken, tokenOf } from './session-token-rows.ts';

/** Uses a link up, or says why not. Part of the caller's transaction. */
export async function redeemOnce(
  transaction: Kysely<Tables>,
  redemption: Redemption,
): Promise<RedemptionResult> {
  const { linkId, now, nonceHash } = redemption;
  const row = await transaction
    .selectFrom('magic_links')
    .selectAll()
    .where('id', '=', linkId)
    .executeTakeFirst();
  // Forgotten since it was looked up, which only happens to links that ended.
  if (!row) return { kind: 'ended', reason: 'EXPIRED' };
  const link = linkOf(row);
  if (link.endReason === 'USED' && nonceHash !== null && row.nonce_hash === nonceHash) {
    return await repeatOnce(transaction, redemption, link);
  }
  if (link.endReason !== null) return { kind: 'ended', reason: link.endReason };
  if (link.expiresAt <= now) return { kind: 'ended', reason: 'EXPIRED' };
  if (!(await isLive(transaction, link.sandboxId, now))) {
    return { kind: 'ended', reason: 'DESTROYED' };
  }
  const live = await countOf(transaction, 'session_tokens', {
    sandboxId: link.sandboxId,
    liveAt: now,
  });
  if (live >= redemption.liveTokenLimit) return { kind: 'limit' };
  const former = await takeFormerSession(transaction, redemption);
  const token = await insertToken(transaction, redemption, { link, former });
  await transaction
    .updateTable('magic_links')
    .set({ ended_at: now, end_reason: 'USED', nonce_hash: nonceHash, token_id: token.id })
    .where('id', '=', linkId)
    .execute();
  const endedTokenIds = await openSession(transaction, redemption, { former, token });
  return { kind: 'redeemed', link, token, endedTokenIds };
}

/** The winner asks again: as long as nothing was done with what it got, it may get it again. */
async function repeatOnce(
  transaction: Kysely<Tables>,
  redemption: Redemption,
  link: MagicLink,
): Promise<RedemptionResult> {
  const used: RedemptionResult = { kind: 'ended', reason: 'USED' };
  if (link.endedAt === null || link.endedAt + redemption.repeatWithinMs < redemption.now) {
    return used;
  }
  const token = link.tokenId === null ? undefined : await findToken(transaction, link.tokenId);
  if (!token || token.lastUsedAt !== null || token.endReason !== null) return used;
  const session = await transaction
    .selectFrom('browser_grants')
    .innerJoin('browser_sessions', 'sequence', 'session_sequence')
    .select('sequence')
    .where('token_id', '=', token.id)
    .where('hash', '=', redemption.sessionHash)
    .executeTakeFirst();
  return session ? { kind: 'repeated', link, token } : used;
}

async function isLive(transaction: Kysely<Tables>, id: string, now: number): Promise<boolean> {
  const row = await transaction
    .selectFrom('sandboxes')
    .select('id')
    .where('id', '=', id)
    .where('status', '<>', 'destroying')
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return row !== undefined;
}

/** The live tokens of the browser's session until now, newest first. The session itself ends. */
async function takeFormerSession(
  transaction: Kysely<Tables>,
  { formerSessionHash, now }: Redemption,
): Promise<readonly SessionToken[]> {
  if (formerSessionHash === null) return [];
  const rows = await transaction
    .selectFrom('browser_sessions')
    .innerJoin('browser_grants', 'session_sequence', 'browser_sessions.sequence')
    .innerJoin('session_tokens', 'session_tokens.id', 'browser_grants.token_id')
    .selectAll('session_tokens')
    .where('hash', '=', formerSessionHash)
    .where('ended_at', 'is', null)
    .where('session_tokens.expires_at', '>', now)
    .orderBy('session_tokens.sequence', 'desc')
    .execute();
  await transaction.deleteFrom('browser_sessions').where('hash', '=', formerSessionHash).execute();
  return rows.map(tokenOf);
}

async function insertToken(
  transaction: Kysely<Tables>,
  { token, now }: Redemption,
  { link, former }: { link: MagicLink; former: readonly SessionToken[] },
): Promise<SessionToken> {
  // What the same browser had in this sandbox goes on being its own.
  const before = former.find(({ sandboxId }) => sandboxId === link.sandboxId);
  const subjects = before ? [before.subjects[0] ?? before.id] : [];
  const row = await transaction
    .insertInto('session_tokens')
    .values({
      id: token.id,
      kind: 'magic_link',
      subjects: JSON.stringify(subjects),
      sandbox_id: link.sandboxId,
      description: link.description,
      scopes: JSON.stringify(link.scopes),
      metadata: '{}',
      signing_key_id: token.signingKeyId,
      created_at: now,
      expires_at: token.expiresAt,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return tokenOf(row);
}

/** Makes the browser's new session. Returns the tokens that had to end for want of room. */
async function openSession(
  transaction: Kysely<Tables>,
  { sessionHash, now, grantLimit }: Redemption,
  { former, token }: { former: readonly SessionToken[]; token: SessionToken },
): Promise<readonly string[]> {
  const { sequence } = await transaction
    .insertInto('browser_sessions')
    .values({ hash: sessionHash, created_at: now })
    .returning('sequence')
    .executeTakeFirstOrThrow();
  const kept = [token, ...former].slice(0, grantLimit);
  const dropped = former.slice(grantLimit - 1).map(({ id }) => id);
  await transaction
    .insertInto('browser_grants')
    .values(
      kept.map(({ id, sandboxId }) => ({
        session_sequence: sequence,
        sandbox_id: sandboxId,
        token_id: id,
      })),
    )
    .execute();
  if (dropped.length > 0) {
    await transaction
      .updateTable('session_tokens')
      .set({ ended_at: now, end_reason: 'REVOKED' })
      .where('id', 'in', dropped)
      .execute();
  }
  return dropped;
}
