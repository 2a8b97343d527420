import { access } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { DomainError } from '../../../../server/core/domain-error.ts';
import { newId } from '../../../../server/core/id.ts';
import { busyUids } from '../../../../server/driver/busy-uids.ts';
import { MAX_SANDBOXES } from '../../../../server/gateway/sandbox/insertion.ts';
import { NEVER, PLAIN_SANDBOX, testCore } from '../support/test-core.ts';
import { testDirectory } from '../support/test-store.ts';

const HOUR = 3_600_000;

describe('creating', () => {
  test('makes a running sandbox with a directory and an agent, for 24 hours', async () => {
    const { sandboxes, owner, agents, files, clock } = await testCore();
    const sandbox = await sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
    expect(sandbox).toMatchObject({ status: 'running', namespace: 'default', name: '', uid: null });
    expect(sandbox.expiresAt - clock.now()).toBe(24 * HOUR);
    expect(agents.started).toEqual([sandbox.id]);
    await access(files.directory(sandbox.id));
  });

  test('makes one sandbox for any number of calls with one request id', async () => {
    const { sandboxes, owner, registry } = await testCore();
    const request = { ...PLAIN_SANDBOX, requestId: 'r1' };
    const made = await Promise.all(
      Array.from({ length: 20 }, () => sandboxes.create(owner, request, NEVER)),
    );
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    expect(registry.all()).toHaveLength(1);
  });

  test('still knows the request after the gateway was restarted', async () => {
    const directory = await testDirectory();
    const first = await testCore({ directory });
    const request = { ...PLAIN_SANDBOX, requestId: 'r1' };
    const before = await first.sandboxes.create(first.owner, request, NEVER);
    await first.close();
    const second = await testCore({ directory, clock: first.clock });
    const after = await second.sandboxes.create(second.owner, request, NEVER);
    expect(after.id).toBe(before.id);
    expect(second.registry.all()).toHaveLength(1);
  });

  test('forgets a request after ten minutes', async () => {
    const { sandboxes, owner, clock } = await testCore();
    const request = { ...PLAIN_SANDBOX, requestId: 'r1' };
    const first = await sandboxes.create(owner, request, NEVER);
    clock.advance(10 * 60_000);
    expect((await sandboxes.create(owner, request, NEVER)).id).not.toBe(first.id);
  });

  test('does not bring a destroyed sandbox back for a late retry', async () => {
    const { sandboxes, owner } = await testCore();
    const request = { ...PLAIN_SANDBOX, requestId: 'r1' };
    const { id } = await sandboxes.create(owner, request, NEVER);
    await sandboxes.destroy(owner, id);
    await expect(sandboxes.create(owner, request, NEVER)).rejects.toMatchObject({
      reason: 'DESTROYED',
      field: 'requestId',
    });
  });

  test('refuses a request id that made another sandbox', async () => {
    const { sandboxes, owner } = await testCore();
    await sandboxes.create(owner, { ...PLAIN_SANDBOX, requestId: 'r1', name: 'a' }, NEVER);
    const other = sandboxes.create(owner, { ...PLAIN_SANDBOX, requestId: 'r1', name: 'b' }, NEVER);
    await expect(other).rejects.toMatchObject({ reason: 'INVALID_ARGUMENT', field: 'requestId' });
  });

  test('refuses a name that a live sandbox has, and takes it again once that is destroyed', async () => {
    const { sandboxes, owner } = await testCore();
    const named = { ...PLAIN_SANDBOX, name: 'ide' };
    const { id } = await sandboxes.create(owner, named, NEVER);
    await expect(sandboxes.create(owner, named, NEVER)).rejects.toMatchObject({
      reason: 'ALREADY_EXISTS',
    });
    await sandboxes.destroy(owner, id);
    await sandboxes.create(owner, named, NEVER);
  });

  test('leaves nothing when the agent does not start, and a retry tries anew', async () => {
    const { sandboxes, owner, agents, registry, files } = await testCore();
    agents.nextFailure = new DomainError('AGENT_UNAVAILABLE', 'no');
    const request = { ...PLAIN_SANDBOX, requestId: 'r1', name: 'a' };
    await expect(sandboxes.create(owner, request, NEVER)).rejects.toThrow('no');
    expect(registry.all()).toEqual([]);
    const { id } = await sandboxes.create(owner, request, NEVER);
    await access(files.directory(id));
  });

  test('keeps the sandbox of a caller who left, for the retry', async () => {
    const { sandboxes, owner, registry } = await testCore();
    const request = { ...PLAIN_SANDBOX, requestId: 'r1' };
    const left = AbortSignal.abort(new Error('left'));
    await expect(sandboxes.create(owner, request, left)).rejects.toThrow('left');
    const [kept] = registry.all();
    expect((await sandboxes.create(owner, request, NEVER)).id).toBe(kept?.id);
  });

  test('stops at the limit of sandboxes', async () => {
    const { sandboxes, store, owner, clock } = await testCore();
    await Promise.all(
      Array.from({ length: MAX_SANDBOXES }, (_, index) =>
        store.sandboxes.insert({
          ...{ id: newId('sbx'), workspaceId: 'default', namespace: 'n', name: `${index}` },
          ...{
            metadata: {},
            driver: 'fake',
            createdAt: clock.now(),
            expiresAt: clock.now() + HOUR,
          },
          request: { principalId: 'key1', method: 'CreateSandbox', requestId: '' },
          limit: MAX_SANDBOXES,
        }),
      ),
    );
    await expect(sandboxes.create(owner, PLAIN_SANDBOX, NEVER)).rejects.toMatchObject({
      reason: 'LIMIT_REACHED',
    });
  });

  test.each([
    ['name', { name: 'x'.repeat(129) }],
    ['name', { name: 'a\nb' }],
    ['namespace', { namespace: 'x'.repeat(129) }],
    ['requestId', { requestId: 'x'.repeat(129) }],
    ['metadata', { metadata: { ['k'.repeat(129)]: '' } }],
    ['metadata', { metadata: { k: 'v'.repeat(1025) } }],
    [
      'metadata',
      { metadata: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`${i}`, ''])) },
    ],
    ['timeout', { timeoutMs: 999 }],
    ['timeout', { timeoutMs: 30 * 24 * HOUR + 1 }],
    ['timeout', { timeoutMs: Number.NaN }],
  ])('refuses a bad %s and names it', async (field, bad) => {
    const { sandboxes, owner, registry } = await testCore();
    const creation = sandboxes.create(owner, { ...PLAIN_SANDBOX, ...bad }, NEVER);
    await expect(creation).rejects.toMatchObject({ reason: 'INVALID_ARGUMENT', field });
    expect(registry.all()).toEqual([]);
  });
});

describe('finding or creating', () => {
  test('gives a hundred calls at once one sandbox, made by one of them', async () => {
    const { sandboxes, owner, registry, agents } = await testCore();
    const request = { ...PLAIN_SANDBOX, name: 'ide', namespace: 'user-1' };
    const found = await Promise.all(
      Array.from({ length: 100 }, () => sandboxes.findOrCreate(owner, request, NEVER)),
    );
    expect(new Set(found.map(({ sandbox }) => sandbox.id)).size).toBe(1);
    expect(found.filter(({ created }) => created)).toHaveLength(1);
    expect(registry.all()).toHaveLength(1);
    expect(agents.started).toHaveLength(1);
  });

  test('keeps namespaces apart and ignores the options of a hit', async () => {
    const { sandboxes, owner } = await testCore();
    const request = { ...PLAIN_SANDBOX, name: 'ide', namespace: 'a', metadata: { by: 'first' } };
    const first = await sandboxes.findOrCreate(owner, request, NEVER);
    const again = { ...request, metadata: { by: 'second' }, timeoutMs: HOUR };
    const second = await sandboxes.findOrCreate(owner, again, NEVER);
    const other = await sandboxes.findOrCreate(owner, { ...request, namespace: 'b' }, NEVER);
    expect(second).toEqual({ sandbox: first.sandbox, created: false });
    expect(other.sandbox.id).not.toBe(first.sandbox.id);
    expect(await sandboxes.find(owner, { name: 'ide', namespace: 'b' })).toEqual(other.sandbox);
    expect(await sandboxes.find(owner, { name: 'ide', namespace: '' })).toBeUndefined();
  });

  test('says again that it created the sandbox when the same request comes again', async () => {
    const { sandboxes, owner } = await testCore();
    const request = { ...PLAIN_SANDBOX, name: 'ide', requestId: 'r1' };
    const first = await sandboxes.findOrCreate(owner, request, NEVER);
    expect(await sandboxes.findOrCreate(owner, request, NEVER)).toEqual(first);
  });

  test('needs a name', async () => {
    const { sandboxes, owner } = await testCore();
    const nameless = sandboxes.findOrCreate(owner, PLAIN_SANDBOX, NEVER);
    await expect(nameless).rejects.toMatchObject({ field: 'name', message: /1 to 128/ });
  });
});

describe('host uids', () => {
  const uidRange = { first: 70_000, last: 70_002 };

  test('are different as long as the files of a sandbox exist', async () => {
    const { sandboxes, owner, agents } = await testCore({ uidRange });
    const made = [];
    for (let count = 0; count < 3; count++)
      made.push(await sandboxes.create(owner, PLAIN_SANDBOX, NEVER));
    expect(new Set(made.map(({ uid }) => uid))).toEqual(new Set([70_000, 70_001, 70_002]));
    const full = sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
    await expect(full).rejects.toMatchObject({ reason: 'LIMIT_REACHED', message: /UID_RANGE/ });
    agents.nextFailure = new Error('a process will not die');
    await expect(sandboxes.destroy(owner, made[0]?.id ?? '')).rejects.toThrow('will not die');
    await expect(sandboxes.create(owner, PLAIN_SANDBOX, NEVER)).rejects.toMatchObject({
      reason: 'LIMIT_REACHED',
    });
    await sandboxes.destroy(owner, made[0]?.id ?? '');
    expect((await sandboxes.create(owner, PLAIN_SANDBOX, NEVER)).uid).toBe(made[0]?.uid);
  });
});

describe('a host uid that a process of somebody else has', () => {
  test('is left alone', async () => {
    const uidRange = { first: 70_000, last: 70_002 };
    const core = await testCore({ uidRange, busyUids: new Set([70_000, 70_002]) });
    expect((await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER)).uid).toBe(70_001);
    await expect(core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER)).rejects.toMatchObject({
      reason: 'LIMIT_REACHED',
    });
  });

  test('is known from the process table', async () => {
    expect(await busyUids()).toContain(process.getuid?.());
  });
});

describe('listing', () => {
  test('goes through all sandboxes of a namespace, oldest first, in pages', async () => {
    const { sandboxes, owner } = await testCore();
    const ids: string[] = [];
    for (let count = 0; count < 5; count++) {
      ids.push((await sandboxes.create(owner, PLAIN_SANDBOX, NEVER)).id);
      await sandboxes.create(owner, { ...PLAIN_SANDBOX, namespace: 'other' }, NEVER);
    }
    const seen: string[][] = [];
    let pageToken = '';
    do {
      const page = await sandboxes.list(owner, { namespace: 'default', pageSize: 2, pageToken });
      seen.push(page.sandboxes.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(seen).toEqual([ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);
    expect(
      (await sandboxes.list(owner, { namespace: '', pageSize: 0, pageToken: '' })).sandboxes,
    ).toHaveLength(10);
  });

  test.each([
    ['pageSize', { pageSize: 501, pageToken: '' }],
    ['pageToken', { pageSize: 1, pageToken: 'nonsense!' }],
    ['pageToken', { pageSize: 1, pageToken: Buffer.from('-1').toString('base64url') }],
  ])('refuses a bad %s', async (field, page) => {
    const { sandboxes, owner } = await testCore();
    await expect(sandboxes.list(owner, { namespace: '', ...page })).rejects.toMatchObject({
      field,
    });
  });
});

describe('the other workspace', () => {
  const stranger = { workspaceId: 'other', principalId: 'key2' };

  test('finds nothing, and destroys nothing', async () => {
    const { sandboxes, owner } = await testCore();
    const { id } = await sandboxes.create(owner, { ...PLAIN_SANDBOX, name: 'a' }, NEVER);
    expect(() => sandboxes.get(stranger, id)).toThrow(`no sandbox ${id}`);
    expect(await sandboxes.find(stranger, { name: 'a', namespace: '' })).toBeUndefined();
    await sandboxes.destroy(stranger, id);
    expect(sandboxes.get(owner, id).status).toBe('running');
    const caller = { kind: 'api_key', workspaceId: 'other' } as const;
    expect(() => sandboxes.requireForCall(id, caller)).toThrow(`no sandbox ${id}`);
  });
});
