import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** What was acknowledged of a database whose process was killed, to be compared with what it holds. */
export class AccessLedger {
  readonly tokens: string[] = [];
  readonly revoked: string[] = [];
  readonly links: string[] = [];
  /** Who won each link, by the link's id: the ids of their tokens, where known. */
  readonly winners = new Map<string, string[]>();

  /** Notes a line as the writer prints it: what happened, and to which ids. */
  note(line: string): void {
    const [what, id = '', by = ''] = line.split(' ');
    if (what === 'token') this.tokens.push(id);
    if (what === 'revoked') this.revoked.push(id);
    if (what === 'link') this.links.push(id);
    if (what === 'redeemed') this.winners.set(id, [...(this.winners.get(id) ?? []), by]);
  }

  /** What is wrong with a database, one sentence each. Its process must have ended. */
  problems(directory: string): string[] {
    using database = new DatabaseSync(join(directory, 'gateway.sqlite'));
    const problems: string[] = [];
    const integrity = database.prepare('PRAGMA integrity_check').all();
    const isSound = integrity.length === 1 && integrity[0]?.['integrity_check'] === 'ok';
    if (!isSound) problems.push(`the database is broken: ${JSON.stringify(integrity)}`);
    const token = database.prepare('SELECT ended_at, end_reason FROM session_tokens WHERE id = ?');
    for (const id of this.tokens) if (!token.get(id)) problems.push(`${id} is lost`);
    for (const id of this.revoked) {
      const row = token.get(id);
      const isRevoked = row?.['end_reason'] === 'REVOKED' && row['ended_at'] !== null;
      if (!isRevoked) problems.push(`the revocation of ${id} is lost`);
    }
    const link = database.prepare('SELECT end_reason, token_id FROM magic_links WHERE id = ?');
    for (const id of this.links) if (!link.get(id)) problems.push(`${id} is lost`);
    for (const [id, winners] of this.winners) {
      if (winners.length !== 1) problems.push(`${id} was redeemed ${winners.length} times`);
      const row = link.get(id);
      const [winner] = winners;
      const isKept = row?.['end_reason'] === 'USED' && (!winner || row['token_id'] === winner);
      if (!isKept) problems.push(`${id} does not say that ${winner} used it`);
    }
    return [...problems, ...this.#unpaired(database)];
  }

  /** Every used link has one token and one session, and there is no other of either. */
  #unpaired(database: DatabaseSync): string[] {
    const count = (sql: string) => Number(database.prepare(sql).get()?.['n']);
    const used = count("SELECT count(*) AS n FROM magic_links WHERE end_reason = 'USED'");
    const paired = count(
      `SELECT count(*) AS n FROM magic_links l JOIN session_tokens t ON t.id = l.token_id
       JOIN browser_grants g ON g.token_id = t.id WHERE l.end_reason = 'USED'`,
    );
    const born = count("SELECT count(*) AS n FROM session_tokens WHERE kind = 'magic_link'");
    const sessions = count('SELECT count(*) AS n FROM browser_sessions');
    const isPaired = used === paired && used === born && used === sessions;
    return isPaired
      ? []
      : [`${used} used links, ${paired} paired, ${born} tokens, ${sessions} sessions`];
  }
}
