import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newId } from '../../../../server/core/id.ts';
import { REQUEST_MEMORY_MS } from '../../../../server/gateway/store/requests.ts';
import { SqliteConnection } from '../../../../server/gateway/store/sqlite-connection.ts';
import { Store } from '../../../../server/gateway/store/store.ts';
import { nodePath } from '../../../support/paths.ts';
import { scaled, seed, seededRandom } from '../../../support/scale.ts';
import { testDirectory, testStore } from '../support/test-store.ts';

const WRITER = join(import.meta.dirname, 'store-writer.ts');

/** Lets the writer work until it has printed `lines` lines, kills it, and gives all that it had printed. */
async function writeAndKill(directory: string, lines: number): Promise<string[]> {
  const child = spawn(nodePath, [WRITER, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {},
  });
  const exited = once(child, 'close');
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    if (text.split('\n').length > lines) child.kill('SIGKILL');
  });
  await exited;
  return text.split('\n').slice(0, -1);
}

describe('opening', () => {
  test('makes files that only their owner can read', async () => {
    const directory = await testDirectory();
    await testStore(directory);
    for (const name of [
      'gateway.sqlite',
      'gateway.sqlite-wal',
      'gateway.sqlite-shm',
      'gateway.lock',
    ]) {
      expect((await stat(join(directory, name))).mode & 0o777, name).toBe(0o600);
    }
  });

  test('refuses a directory that another gateway uses, until that one is closed', async () => {
    const directory = await testDirectory();
    const first = await testStore(directory);
    await expect(Store.open(directory)).rejects.toMatchObject({
      reason: 'FAILED_PRECONDITION',
      message: /COMPUTESDK_DATA_DIR: another gateway already uses/,
    });
    await first.close();
    await testStore(directory);
  });

  test('refuses a database of a newer version', async () => {
    const directory = await testDirectory();
    const connection = await SqliteConnection.open(directory);
    await connection.execute('PRAGMA user_version = 1000');
    await connection.close();
    await expect(Store.open(directory)).rejects.toMatchObject({ message: /newer version/ });
  });

  test('says what is wrong with a directory that cannot be used', async () => {
    await expect(Store.open('/proc/nowhere')).rejects.toMatchObject({
      message: /cannot open the database in \/proc\/nowhere/,
    });
  });

  test('takes no step of the schema twice', async () => {
    const directory = await testDirectory();
    const first = await Store.open(directory);
    await first.identity.installation('one', 0);
    await first.close();
    const second = await testStore(directory);
    expect(await second.identity.installation('two', 0)).toBe('one');
  });
});

describe('closing', () => {
  test('finishes what was asked before', async () => {
    const directory = await testDirectory();
    const store = await Store.open(directory);
    const asked = store.identity.installation('one', 0);
    await asked;
    const [closed] = await Promise.all([store.close(), store.close()]);
    expect(closed).toBeUndefined();
    await expect(store.identity.installation('two', 0)).rejects.toThrow();
  });
});

describe('a thread of the database that dies', () => {
  test('fails what waits and what comes after, and says so', async () => {
    const file = new URL('./dying-worker.ts', import.meta.url);
    const connection = await SqliteConnection.open(await testDirectory(), { workerFile: file });
    await expect(connection.execute('SELECT 1')).rejects.toThrow(
      'the thread of the database has ended',
    );
    await expect(connection.execute('SELECT 1')).rejects.toThrow(
      'the thread of the database has ended',
    );
    expect((await connection.failed).message).toBe('the thread of the database has ended');
    await connection.close();
  });
});

describe('the loop of the process', () => {
  test('is free while the database works', async () => {
    const connection = await SqliteConnection.open(await testDirectory());
    const heavy = connection.execute(
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) AS c FROM n',
    );
    let turns = 0;
    let isDone = false;
    void heavy.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      turns += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await heavy).rows).toEqual([{ c: 3_000_000 }]);
    expect(turns).toBeGreaterThan(100);
    await connection.close();
  });
});

describe('transactions', () => {
  test('do not mix with what others ask meanwhile', async () => {
    const store = await testStore();
    await store.identity.useApiKey({ id: 'key1', workspaceId: 'default', hash: 'h' }, 0);
    const insert = (name: string) =>
      store.sandboxes.insert({
        ...{ id: newId('sbx'), workspaceId: 'default', namespace: 'n', name, metadata: {} },
        ...{ driver: 'fake', createdAt: 1, expiresAt: 10, limit: 1000 },
        request: { principalId: 'key1', method: 'm', requestId: '' },
      });
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        index % 5 === 0
          ? store.sandboxes.insert({ ...BROKEN, id: newId('sbx') }).catch(() => 'refused')
          : insert(`${index % 7}`),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === 'refused')).toHaveLength(10);
    const created = outcomes.filter(
      (outcome) => typeof outcome === 'object' && outcome.kind === 'created',
    );
    expect(created).toHaveLength(7);
    expect(await store.sandboxes.loadAll()).toHaveLength(7);
  });
});

/** Of a workspace that does not exist: refused by the schema in the middle of the transaction. */
const BROKEN = {
  ...{ workspaceId: 'nowhere', namespace: 'n', name: '', metadata: {} },
  ...{ driver: 'fake', createdAt: 1, expiresAt: 10, limit: 1000 },
  request: { principalId: 'key1', method: 'm', requestId: '' },
};

describe('metadata', () => {
  test('comes back as it was, whatever its keys are', async () => {
    const store = await testStore();
    await store.identity.useApiKey({ id: 'key1', workspaceId: 'default', hash: 'h' }, 0);
    const metadata: Record<string, string> = JSON.parse(
      '{"__proto__":"a","constructor":"b","":"\\u0000\\u001b[31m"}',
    );
    await store.sandboxes.insert({ ...BROKEN, workspaceId: 'default', id: newId('sbx'), metadata });
    const [sandbox] = await store.sandboxes.loadAll();
    expect(Object.entries(sandbox?.metadata ?? {})).toEqual(Object.entries(metadata));
    expect(Object.getPrototypeOf(sandbox?.metadata)).toBe(Object.prototype);
  });
});

describe('requests', () => {
  test('of different callers and methods do not meet', async () => {
    const store = await testStore();
    await store.identity.useApiKey({ id: 'key1', workspaceId: 'default', hash: 'h' }, 0);
    const insert = (principalId: string, method: string, createdAt = 1) =>
      store.sandboxes.insert({
        ...BROKEN,
        ...{ workspaceId: 'default', id: newId('sbx'), createdAt },
        request: { principalId, method, requestId: 'r' },
      });
    const kinds = [];
    for (const [principalId, method, at] of [
      ['a', 'm', 1],
      ['a', 'm', 2],
      ['b', 'm', 2],
      ['a', 'n', 2],
      ['a', 'm', REQUEST_MEMORY_MS + 1],
    ] as const) {
      kinds.push((await insert(principalId, method, at)).kind);
    }
    expect(kinds).toEqual(['created', 'repeated', 'created', 'created', 'created']);
  });
});

describe('kill -9', () => {
  test('loses nothing that was acknowledged, and frees the directory', async () => {
    const directory = await testDirectory();
    const random = seededRandom(seed);
    for (let kill = 0; kill < scaled(30); kill++) {
      const lines = await writeAndKill(directory, 20 + random.below(200));
      expect(lines.length).toBeGreaterThanOrEqual(20);
      const store = await Store.open(directory);
      const sandboxes = new Set((await store.sandboxes.loadAll()).map(({ id }) => id));
      for (const line of lines) {
        const [what, id = ''] = line.split(' ');
        if (what === 'sandbox') expect(sandboxes, `seed ${seed}`).toContain(id);
        const token = what === 'sandbox' ? undefined : await store.sessionTokens.get(id);
        if (what === 'token') expect(token, `seed ${seed}`).toBeDefined();
        if (what === 'revoked') expect(token?.endReason, `seed ${seed}`).toBe('REVOKED');
      }
      await store.close();
    }
  });
});
