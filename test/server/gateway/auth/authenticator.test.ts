import { describe, expect, test } from 'vitest';
import { DomainError } from '../../../../server/core/domain-error.ts';
import { SCOPES } from '../../../../server/core/principal.ts';
import type { Caller } from '../../../../server/gateway/auth/caller.ts';
import {
  API_KEY,
  NEVER,
  PLAIN_SANDBOX,
  PLAIN_TOKEN,
  type TestCore,
  testCore,
} from '../support/test-core.ts';
import { testDirectory } from '../support/test-store.ts';

const HOUR = 3_600_000;

async function withToken(core: TestCore, expiresInMs = HOUR) {
  const { id: sandboxId } = await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER);
  const created = await core.tokens.create(core.owner, { ...PLAIN_TOKEN, sandboxId, expiresInMs });
  return { sandboxId, ...created, header: `Bearer ${created.text}` };
}

/** Makes the next read of a token's row wait until it is let go. */
function holdNextRead(core: TestCore) {
  const { sessionTokens } = core.store;
  const read = sessionTokens.get.bind(sessionTokens);
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let reached = () => {};
  const isRead = new Promise<void>((resolve) => {
    reached = resolve;
  });
  sessionTokens.get = async (id) => {
    sessionTokens.get = read;
    const row = await read(id);
    reached();
    await gate;
    return row;
  };
  return { isRead, letGo };
}

describe('an API key', () => {
  test('is known at once, whatever the case of the scheme', async () => {
    const { authenticator } = await testCore();
    const expected: Caller = {
      kind: 'api_key',
      workspaceId: 'default',
      principal: { id: 'key1', subject: 'key1', subjects: ['key1'], scopes: SCOPES },
    };
    expect(authenticator.authenticateCached(`Bearer ${API_KEY}`, 0)).toEqual(expected);
    expect(await authenticator.authenticate(`bearer   ${API_KEY} `, 0)).toEqual(expected);
  });
});

describe('what is no credential', () => {
  test.each([
    ['nothing', undefined],
    ['an empty header', ''],
    ['the scheme alone', 'Bearer '],
    ['another scheme', `Basic ${API_KEY}`],
    ['a wrong key', `Bearer ${API_KEY}x`],
    ['two keys', `Bearer ${API_KEY} ${API_KEY}`],
    ['two headers that were joined', `Bearer ${API_KEY}, Bearer ${API_KEY}`],
    ['a token that is none', 'Bearer a.b.c'],
    ['a magic link', 'Bearer lnk0123456789'],
    ['a megabyte', `Bearer ${'x'.repeat(1_000_000)}`],
  ])('is refused with the same words: %s', async (_name, header) => {
    const { authenticator } = await testCore();
    const refusal = await authenticator.authenticate(header, 0).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(DomainError);
    expect(refusal).toMatchObject({
      reason: 'UNAUTHENTICATED',
      message:
        'a valid credential is needed: send `Authorization: Bearer <API key or session token>`',
    });
  });

  test('is a token of another installation', async () => {
    const [here, there] = [await testCore(), await testCore()];
    const { header } = await withToken(there);
    await expect(here.authenticator.authenticate(header, 0)).rejects.toMatchObject({
      reason: 'UNAUTHENTICATED',
    });
  });
});

describe('a session token', () => {
  test('is looked up once, then known without I/O', async () => {
    const core = await testCore();
    const { header, sandboxId, token } = await withToken(core);
    expect(core.authenticator.authenticateCached(header, core.clock.now())).toBeUndefined();
    const caller = await core.authenticator.authenticate(header, core.clock.now());
    expect(caller).toEqual({
      kind: 'session_token',
      via: 'bearer',
      sandboxId,
      expiresAt: token.expiresAt,
      principal: { id: token.id, subject: token.id, subjects: [token.id], scopes: token.scopes },
    });
    expect(core.authenticator.authenticateCached(header, core.clock.now())).toBe(caller);
  });

  test('is refused from the first call after its revocation', async () => {
    const core = await testCore();
    const { header, sandboxId, token } = await withToken(core);
    const caller = await core.authenticator.authenticate(header, core.clock.now());
    await core.tokens.revoke(core.owner, { sandboxId, tokenId: token.id });
    expect(core.authenticator.authenticateCached(header, core.clock.now())).toBeUndefined();
    await expect(core.authenticator.authenticate(header, core.clock.now())).rejects.toMatchObject({
      reason: 'REVOKED',
    });
    expect(() => core.authenticator.assertStillValid(caller, core.clock.now())).toThrow('revoked');
    expect(core.endings).toEqual([`${token.id} REVOKED`]);
  });

  test('does not slip through when it is revoked while its row is being read', async () => {
    const core = await testCore();
    const { header, sandboxId, token } = await withToken(core);
    const held = holdNextRead(core);
    const authentication = core.authenticator.authenticate(header, core.clock.now());
    authentication.catch(() => {});
    await held.isRead;
    await core.tokens.revoke(core.owner, { sandboxId, tokenId: token.id });
    held.letGo();
    await expect(authentication).rejects.toMatchObject({ reason: 'REVOKED' });
    expect(core.authenticator.authenticateCached(header, core.clock.now())).toBeUndefined();
  });

  test('does not slip through when its sandbox ends while its row is being read', async () => {
    const core = await testCore();
    const { header, sandboxId } = await withToken(core);
    const held = holdNextRead(core);
    const authentication = core.authenticator.authenticate(header, core.clock.now());
    authentication.catch(() => {});
    await held.isRead;
    await core.sandboxes.destroy(core.owner, sandboxId);
    held.letGo();
    await expect(authentication).rejects.toMatchObject({ reason: 'DESTROYED' });
    expect(core.authenticator.authenticateCached(header, core.clock.now())).toBeUndefined();
  });

  test('expires, and does not come back when the clock is set back', async () => {
    const core = await testCore();
    const { header } = await withToken(core);
    await core.authenticator.authenticate(header, core.clock.now());
    core.clock.stepWallClock(HOUR);
    await expect(core.authenticator.authenticate(header, core.clock.now())).rejects.toMatchObject({
      reason: 'EXPIRED',
    });
    core.clock.stepWallClock(-HOUR);
    await expect(core.authenticator.authenticate(header, core.clock.now())).rejects.toMatchObject({
      reason: 'EXPIRED',
    });
    const { directory, clock } = core;
    await core.close();
    const next = await testCore({ directory, clock });
    await expect(next.authenticator.authenticate(header, clock.now())).rejects.toMatchObject({
      reason: 'EXPIRED',
    });
  });

  test('ends with its sandbox, in this gateway and the next', async () => {
    const directory = await testDirectory();
    const core = await testCore({ directory });
    const { header, sandboxId } = await withToken(core);
    const other = await withToken(core);
    await core.authenticator.authenticate(header, core.clock.now());
    await core.sandboxes.destroy(core.owner, sandboxId);
    await expect(core.authenticator.authenticate(header, core.clock.now())).rejects.toMatchObject({
      reason: 'DESTROYED',
    });
    await core.authenticator.authenticate(other.header, core.clock.now());
    await core.close();
    const next = await testCore({ directory, clock: core.clock });
    await expect(next.authenticator.authenticate(header, core.clock.now())).rejects.toMatchObject({
      reason: 'DESTROYED',
    });
    await next.authenticator.authenticate(other.header, core.clock.now());
  });

  test('works on after a restart of the gateway', async () => {
    const directory = await testDirectory();
    const core = await testCore({ directory });
    const { header, token } = await withToken(core);
    await core.close();
    const next = await testCore({ directory, clock: core.clock });
    const caller = await next.authenticator.authenticate(header, core.clock.now());
    expect(caller.principal.id).toBe(token.id);
  });
});
