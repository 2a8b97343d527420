import type { Selectable } from 'kysely';
import type { MagicLink } from '../auth/magic-link.ts';
import type { MagicLinkTable } from './schema.ts';

/** The record of a row. */
export function linkOf(row: Selectable<MagicLinkTable>): MagicLink {
  return {
    sequence: row.sequence,
    id: row.id,
    sandboxId: row.sandbox_id,
    salt: row.salt,
    redirectUrl: row.redirect_url,
    description: row.description,
    scopes: JSON.parse(row.scopes),
    tokenExpiresInMs: row.token_expires_in,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    endedAt: row.ended_at,
    endReason: row.end_reason,
    tokenId: row.token_id,
  };
}
