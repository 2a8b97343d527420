import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { silentLogger } from '../../../../server/core/log.ts';
import { SIGNING_KEY_AGE_MS } from '../../../../server/gateway/auth/signing-keys.ts';
import { removeSigningKey, rotateSigningKey } from '../../../../server/gateway/key-commands.ts';
import {
  NEVER,
  PLAIN_SANDBOX,
  PLAIN_TOKEN,
  type TestCore,
  testCore,
} from '../support/test-core.ts';

const DAY = 86_400_000;

async function withToken(core: TestCore) {
  const { id: sandboxId } = await core.sandboxes.create(
    core.owner,
    { ...PLAIN_SANDBOX, timeoutMs: 30 * DAY },
    NEVER,
  );
  const create = () =>
    core.tokens.create(core.owner, { ...PLAIN_TOKEN, sandboxId, expiresInMs: 30 * DAY });
  return { sandboxId, create };
}

function keyIds(core: TestCore): string[] {
  return core.signer.publicKeys().keys.map(({ kid }) => kid ?? '');
}

function commandOptions(core: TestCore) {
  return { config: { dataDirectory: core.directory }, clock: core.clock, logger: silentLogger };
}

test('signs with a new key every month, and verifies with the old one until its tokens have ended', async () => {
  const core = await testCore();
  const { create } = await withToken(core);
  const before = await create();
  const [first = ''] = keyIds(core);
  core.clock.advance(SIGNING_KEY_AGE_MS - 1);
  await core.access.purge();
  expect(keyIds(core)).toEqual([first]);
  await core.authenticator.authenticate(`Bearer ${before.text}`, core.clock.now());
  core.clock.advance(1);
  await core.access.purge();
  const [second] = keyIds(core);
  expect(keyIds(core)).toEqual([second, first]);
  expect(core.signer.signingKeyId).toBe(second);
  expect(await core.signer.verify(before.text)).toMatchObject({ jti: before.token.id });
  core.clock.advance(SIGNING_KEY_AGE_MS);
  await core.access.purge();
  expect(keyIds(core)).toContain(first);
  core.clock.advance(2 * DAY);
  await core.access.purge();
  expect(keyIds(core)).not.toContain(first);
  expect(await core.signer.verify(before.text)).toBeUndefined();
  const database = new DatabaseSync(join(core.directory, 'gateway.sqlite'), { readOnly: true });
  const row = database.prepare('SELECT jwk FROM signing_keys WHERE id = ?').get(first);
  database.close();
  expect(row).toEqual({ jwk: '' });
});

test('takes up a key that another process made', async () => {
  const core = await testCore();
  const [first] = keyIds(core);
  core.clock.advance(1);
  expect(await rotateSigningKey(commandOptions(core))).toMatch(/^new session tokens are signed/);
  await expect.poll(() => keyIds(core)).toHaveLength(2);
  expect(keyIds(core)[1]).toBe(first);
});

test('revokes what a removed key signed, and signs with another one', async () => {
  const core = await testCore();
  const { create } = await withToken(core);
  const { token, text } = await create();
  await core.authenticator.authenticate(`Bearer ${text}`, core.clock.now());
  const [id = ''] = keyIds(core);
  core.clock.advance(1);
  expect(await removeSigningKey(commandOptions(core), id)).toBe(
    `removed ${id}, revoked 1 session tokens`,
  );
  await expect.poll(() => core.endings).toEqual([`${token.id} REVOKED`]);
  await expect.poll(() => keyIds(core)).not.toContain(id);
  await expect(
    core.authenticator.authenticate(`Bearer ${text}`, core.clock.now()),
  ).rejects.toMatchObject({ reason: 'UNAUTHENTICATED' });
  const again = await create();
  await core.authenticator.authenticate(`Bearer ${again.text}`, core.clock.now());
});

test('names the keys there are when it is asked to remove another', async () => {
  const core = await testCore();
  const [id = ''] = keyIds(core);
  await expect(removeSigningKey(commandOptions(core), 'x')).rejects.toMatchObject({
    reason: 'NOT_FOUND',
    message: `there is no signing key x; there is ${id}`,
  });
});

test('refuses a data directory that no gateway has used', async () => {
  const core = await testCore();
  await core.close();
  const database = new DatabaseSync(join(core.directory, 'gateway.sqlite'));
  database.exec('PRAGMA user_version = 0');
  database.close();
  await expect(rotateSigningKey(commandOptions(core))).rejects.toMatchObject({
    reason: 'FAILED_PRECONDITION',
  });
});
