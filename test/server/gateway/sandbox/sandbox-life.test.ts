import { access, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newId } from '../../../../server/core/id.ts';
import { NEVER, PLAIN_SANDBOX, type TestCore, testCore } from '../support/test-core.ts';

const HOUR = 3_600_000;

describe('destroying', () => {
  test('ends the calls, then the agent, then the files, and succeeds again', async () => {
    const { sandboxes, owner, agents, files, endings, registry } = await testCore();
    const { id } = await sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
    await sandboxes.destroy(owner, id);
    await sandboxes.destroy(owner, id);
    expect(endings).toEqual([`${id} DESTROYED`]);
    expect(agents.ended).toEqual([id]);
    await expect(access(files.directory(id))).rejects.toThrow('ENOENT');
    expect(registry.get(id)).toBeUndefined();
    expect(() => sandboxes.get(owner, id)).toThrow(`no sandbox ${id}`);
  });

  test('deletes what a program made undeletable, and nothing that a link leads to', async () => {
    const { sandboxes, owner, files, directory } = await testCore();
    const { id } = await sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
    const outside = join(directory, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'keep'), '');
    const locked = join(files.directory(id), 'project', 'locked');
    await mkdir(locked, { recursive: true });
    await writeFile(join(locked, 'file'), '');
    await symlink(outside, join(locked, 'link'));
    await mkdir(join(locked, 'deeper'), { mode: 0o000 });
    await sandboxes.destroy(owner, id);
    await expect(access(files.directory(id))).rejects.toThrow('ENOENT');
    await access(join(outside, 'keep'));
  });

  test('refuses a malformed id and says what one looks like', async () => {
    const { sandboxes, owner } = await testCore();
    const bad = sandboxes.destroy(owner, '../../etc');
    await expect(bad).rejects.toMatchObject({ reason: 'INVALID_ARGUMENT', field: 'sandboxId' });
  });
});

describe('extending', () => {
  test('moves the end to a later time, never to an earlier one, and tells the agent', async () => {
    const { sandboxes, owner, clock, agents } = await testCore();
    const { id, expiresAt } = await sandboxes.create(
      owner,
      { ...PLAIN_SANDBOX, timeoutMs: HOUR },
      NEVER,
    );
    expect((await sandboxes.extend(owner, id, undefined)).expiresAt).toBe(expiresAt);
    const extended = await sandboxes.extend(owner, id, 2 * HOUR);
    expect(extended.expiresAt).toBe(clock.now() + 2 * HOUR);
    expect(agents.expiries.at(-1)).toEqual({ sandboxId: id, expiresAt: extended.expiresAt });
    await expect(sandboxes.extend(owner, id, 0)).rejects.toMatchObject({ field: 'duration' });
    await expect(sandboxes.extend(owner, newId('sbx'), HOUR)).rejects.toMatchObject({
      reason: 'NOT_FOUND',
    });
  });
});

describe('a call into a sandbox', () => {
  const asKey = { kind: 'api_key', workspaceId: 'default' } as const;

  async function failing(core: TestCore) {
    const { id } = await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER);
    await core.registry.saveFailure(id, 'segmentation fault');
    return id;
  }

  test('is told why the sandbox failed', async () => {
    const core = await testCore();
    const id = await failing(core);
    expect(core.sandboxes.get(core.owner, id)).toMatchObject({
      status: 'failed',
      failure: 'segmentation fault',
    });
    await expect(core.sandboxes.endpoint(id, NEVER)).rejects.toMatchObject({
      reason: 'SANDBOX_FAILED',
      message: /segmentation fault/,
    });
    await core.sandboxes.destroy(core.owner, id);
  });

  test('goes to the agent, which is started if need be', async () => {
    const { sandboxes, owner, agents } = await testCore();
    const { id } = await sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
    agents.live.clear();
    expect(await sandboxes.endpoint(id, NEVER)).toEqual({ socketPath: `/run/${id}` });
    expect(agents.started).toEqual([id, id]);
  });

  test('with a token of another sandbox finds nothing', async () => {
    const { sandboxes, owner } = await testCore();
    const { id } = await sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
    const caller = { kind: 'session_token', sandboxId: newId('sbx') } as const;
    expect(() => sandboxes.requireForCall(id, caller)).toThrow(`no sandbox ${id}`);
    expect(() => sandboxes.requireForCall('nonsense', asKey)).toThrow('sandboxId');
  });
});
