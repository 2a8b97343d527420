import { access } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { MAX_SWEEP_MS } from '../../../../server/gateway/sandbox/sandbox-ending.ts';
import { until } from '../../../support/until.ts';
import { NEVER, PLAIN_SANDBOX, type TestCore, testCore } from '../support/test-core.ts';
import { testDirectory } from '../support/test-store.ts';

const HOUR = 3_600_000;

function gone(core: TestCore, id: string) {
  return until(() => core.registry.get(id) === undefined, { what: `${id} to be gone` });
}

test('a sandbox ends when its time has come', async () => {
  const core = await testCore();
  const request = { ...PLAIN_SANDBOX, timeoutMs: HOUR };
  const { id } = await core.sandboxes.create(core.owner, request, NEVER);
  core.clock.advance(HOUR - 1);
  expect(core.endings).toEqual([]);
  core.clock.advance(1);
  await gone(core, id);
  expect(core.endings).toEqual([`${id} EXPIRED`]);
  expect(core.agents.ended).toEqual([id]);
  await expect(access(core.files.directory(id))).rejects.toThrow('ENOENT');
});

test('a call after the end is told so, even before the timer', async () => {
  const core = await testCore();
  const request = { ...PLAIN_SANDBOX, timeoutMs: HOUR };
  const { id } = await core.sandboxes.create(core.owner, request, NEVER);
  core.clock.stepWallClock(HOUR);
  const caller = { kind: 'session_token', sandboxId: id } as const;
  expect(() => core.sandboxes.requireForCall(id, caller)).toThrow('end of its life');
  await gone(core, id);
});

test('a clock that was set forward ends sandboxes within half a minute', async () => {
  const core = await testCore();
  const request = { ...PLAIN_SANDBOX, timeoutMs: 24 * HOUR };
  const { id } = await core.sandboxes.create(core.owner, request, NEVER);
  core.clock.stepWallClock(24 * HOUR);
  core.clock.advance(MAX_SWEEP_MS);
  await gone(core, id);
});

test('an extension keeps a sandbox alive beyond its first end', async () => {
  const core = await testCore();
  const request = { ...PLAIN_SANDBOX, timeoutMs: HOUR };
  const { id } = await core.sandboxes.create(core.owner, request, NEVER);
  await core.sandboxes.extend(core.owner, id, 2 * HOUR);
  await core.clock.advanceAsync(HOUR + MAX_SWEEP_MS, MAX_SWEEP_MS);
  expect(core.sandboxes.get(core.owner, id).status).toBe('running');
  await core.clock.advanceAsync(HOUR, MAX_SWEEP_MS);
  await gone(core, id);
});

test('a sandbox that expired while no gateway ran ends when one starts', async () => {
  const directory = await testDirectory();
  const first = await testCore({ directory });
  const request = { ...PLAIN_SANDBOX, timeoutMs: HOUR };
  const { id } = await first.sandboxes.create(first.owner, request, NEVER);
  const kept = await first.sandboxes.create(first.owner, PLAIN_SANDBOX, NEVER);
  await first.close();
  first.clock.stepWallClock(2 * HOUR);
  const second = await testCore({ directory, clock: first.clock });
  second.sandboxes.recover();
  await gone(second, id);
  expect(second.agents.ended).toEqual([id]);
  expect(second.agents.adopted).toContain(kept.id);
});

test('a destruction that was cut short is finished by the next gateway', async () => {
  const directory = await testDirectory();
  const first = await testCore({ directory });
  const { id } = await first.sandboxes.create(first.owner, PLAIN_SANDBOX, NEVER);
  first.agents.nextFailure = new Error('a process will not die');
  await expect(first.sandboxes.destroy(first.owner, id)).rejects.toThrow('will not die');
  expect(() => first.sandboxes.get(first.owner, id)).toThrow(`no sandbox ${id}`);
  await first.close();
  const second = await testCore({ directory, clock: first.clock });
  expect(second.registry.get(id)?.status).toBe('destroying');
  second.sandboxes.recover();
  await gone(second, id);
  expect(second.agents.adopted).toEqual([]);
});

test('a destruction that failed is tried again', async () => {
  const core = await testCore();
  core.sandboxes.recover();
  const { id } = await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER);
  core.agents.nextFailure = new Error('a process will not die');
  await expect(core.sandboxes.destroy(core.owner, id)).rejects.toThrow('will not die');
  core.clock.advance(MAX_SWEEP_MS);
  await gone(core, id);
});

test('closing leaves no timer', async () => {
  const core = await testCore();
  core.sandboxes.recover();
  await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER);
  await core.close();
  expect(core.clock.pendingTimers).toBe(0);
});
