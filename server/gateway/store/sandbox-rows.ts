import type { Kysely, Selectable, Updateable } from 'kysely';
import type {
  Insertion,
  NewSandbox,
  Sandbox,
  SandboxStore,
  UidChoice,
} from '../sandbox/sandbox.ts';
import { findRequest, forgetRequest, keepRequest } from './requests.ts';
import type { SandboxTable, Tables } from './schema.ts';

type Row = Selectable<SandboxTable>;

/** Keeps sandboxes in the database. */
export class SandboxRows implements SandboxStore {
  readonly #database: Kysely<Tables>;

  constructor(database: Kysely<Tables>) {
    this.#database = database;
  }

  async loadAll(): Promise<readonly Sandbox[]> {
    const rows = await this.#database
      .selectFrom('sandboxes')
      .selectAll()
      .orderBy('sequence')
      .execute();
    return rows.map(fromRow);
  }

  insert(sandbox: NewSandbox): Promise<Insertion> {
    return this.#database.transaction().execute((transaction) => insertOnce(transaction, sandbox));
  }

  async list(query: Parameters<SandboxStore['list']>[0]): Promise<readonly Sandbox[]> {
    const { workspaceId, namespace, page } = query;
    let select = this.#database
      .selectFrom('sandboxes')
      .selectAll()
      .where('workspace_id', '=', workspaceId)
      .where('status', '<>', 'destroying')
      .where('sequence', '>', page.after);
    if (namespace !== '') select = select.where('namespace', '=', namespace);
    return (await select.orderBy('sequence').limit(page.size).execute()).map(fromRow);
  }

  findByName(key: Parameters<SandboxStore['findByName']>[0]): Promise<Sandbox | undefined> {
    return findByName(this.#database, key);
  }

  async extend(id: string, expiresAt: number): Promise<Sandbox | undefined> {
    const row = await this.#database
      .updateTable('sandboxes')
      .set(({ fn, val }) => ({ expires_at: fn<number>('max', ['expires_at', val(expiresAt)]) }))
      .where('id', '=', id)
      .where('status', '<>', 'destroying')
      .returningAll()
      .executeTakeFirst();
    return row && fromRow(row);
  }

  async update(
    id: string,
    change: Parameters<SandboxStore['update']>[1],
  ): Promise<Sandbox | undefined> {
    let update = this.#database
      .updateTable('sandboxes')
      .set(toColumns(change))
      .where('id', '=', id);
    // A failure that is noticed late must not bring a sandbox back that is being destroyed.
    if (change.status !== undefined) update = update.where('status', '<>', 'destroying');
    const row = await update.returningAll().executeTakeFirst();
    return row && fromRow(row);
  }

  markDestroying(
    id: string,
    options: Parameters<SandboxStore['markDestroying']>[1],
  ): Promise<Sandbox | undefined> {
    const { now, reason, ifExpiredAt } = options;
    return this.#database.transaction().execute(async (transaction) => {
      let update = transaction
        .updateTable('sandboxes')
        .set({ status: 'destroying' })
        .where('id', '=', id)
        .where('status', '<>', 'destroying');
      if (ifExpiredAt !== undefined) update = update.where('expires_at', '<=', ifExpiredAt);
      const row = await update.returningAll().executeTakeFirst();
      if (!row) return undefined;
      await transaction
        .updateTable('session_tokens')
        .set({ ended_at: now, end_reason: reason })
        .where('sandbox_id', '=', id)
        .where('ended_at', 'is', null)
        .execute();
      await transaction
        .updateTable('magic_links')
        .set({ ended_at: now, end_reason: 'DESTROYED' })
        .where('sandbox_id', '=', id)
        .where('ended_at', 'is', null)
        .execute();
      return fromRow(row);
    });
  }

  async remove(id: string, options: { readonly forgetRequest?: boolean }): Promise<void> {
    await this.#database.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('sandboxes').where('id', '=', id).execute();
      if (options.forgetRequest) await forgetRequest(transaction, id);
    });
  }
}

async function insertOnce(transaction: Kysely<Tables>, sandbox: NewSandbox): Promise<Insertion> {
  const made = await findRequest(transaction, sandbox.request, sandbox.createdAt);
  if (made !== undefined) {
    const repeated = await findById(transaction, made);
    return repeated && repeated.status !== 'destroying'
      ? { kind: 'repeated', sandbox: repeated }
      : { kind: 'gone' };
  }
  const found = sandbox.name === '' ? undefined : await findByName(transaction, sandbox);
  if (found) return { kind: 'found', sandbox: found };
  const rows = await transaction.selectFrom('sandboxes').select('uid').execute();
  if (rows.length >= sandbox.limit) return { kind: 'limit' };
  const uid = sandbox.uids && freeUid(sandbox.uids, new Set(rows.map((row) => row.uid)));
  if (sandbox.uids && uid === undefined) return { kind: 'no_uid' };
  const row = await transaction
    .insertInto('sandboxes')
    .values({
      id: sandbox.id,
      workspace_id: sandbox.workspaceId,
      namespace: sandbox.namespace,
      name: sandbox.name,
      metadata: JSON.stringify(sandbox.metadata),
      status: 'running',
      failure: '',
      driver: sandbox.driver,
      uid: uid ?? null,
      created_at: sandbox.createdAt,
      expires_at: sandbox.expiresAt,
      previous_boot_ids: '[]',
      previews: sandbox.previews ?? 'private',
      public_ports: JSON.stringify(sandbox.publicPorts ?? []),
      preview_host: sandbox.previewHost ?? 'localhost',
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await keepRequest(transaction, sandbox.request, { resultId: sandbox.id, now: sandbox.createdAt });
  return { kind: 'created', sandbox: fromRow(row) };
}

async function findById(database: Kysely<Tables>, id: string): Promise<Sandbox | undefined> {
  const row = await database
    .selectFrom('sandboxes')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
  return row && fromRow(row);
}

async function findByName(
  database: Kysely<Tables>,
  key: Pick<Sandbox, 'workspaceId' | 'namespace' | 'name'>,
): Promise<Sandbox | undefined> {
  const row = await database
    .selectFrom('sandboxes')
    .selectAll()
    .where('workspace_id', '=', key.workspaceId)
    .where('namespace', '=', key.namespace)
    .where('name', '=', key.name)
    .where('status', '<>', 'destroying')
    .executeTakeFirst();
  return row && fromRow(row);
}

function freeUid(choice: UidChoice, taken: ReadonlySet<number | null>): number | undefined {
  const count = choice.last - choice.first + 1;
  for (let step = 0; step < count; step++) {
    const uid = choice.first + ((choice.start - choice.first + step) % count);
    if (!taken.has(uid) && !choice.busy.has(uid)) return uid;
  }
  return undefined;
}

function toColumns(change: Parameters<SandboxStore['update']>[1]): Updateable<SandboxTable> {
  const { bootId, previousBootIds, handle, status, failure } = change;
  return {
    ...(bootId !== undefined && { boot_id: bootId }),
    ...(previousBootIds !== undefined && { previous_boot_ids: JSON.stringify(previousBootIds) }),
    ...(handle !== undefined && { handle }),
    ...(status !== undefined && { status }),
    ...(failure !== undefined && { failure }),
  };
}

function fromRow(row: Row): Sandbox {
  return {
    sequence: row.sequence,
    id: row.id,
    workspaceId: row.workspace_id,
    namespace: row.namespace,
    name: row.name,
    metadata: JSON.parse(row.metadata),
    status: row.status,
    failure: row.failure,
    driver: row.driver,
    uid: row.uid,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    bootId: row.boot_id,
    previousBootIds: JSON.parse(row.previous_boot_ids),
    handle: row.handle,
    previews: row.previews,
    publicPorts: JSON.parse(row.public_ports),
    previewHost: row.preview_host,
  };
}
