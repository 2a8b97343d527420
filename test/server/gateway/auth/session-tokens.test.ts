import { describe, expect, test } from 'vitest';
import { newId } from '../../../../server/core/id.ts';
import { SCOPES } from '../../../../server/core/principal.ts';
import {
  ENDED_TOKEN_MEMORY_MS,
  MAX_LIVE_TOKENS,
} from '../../../../server/gateway/auth/session-tokens.ts';
import { USAGE_FLUSH_MS } from '../../../../server/gateway/auth/token-usage.ts';
import {
  NEVER,
  PLAIN_SANDBOX,
  PLAIN_TOKEN,
  type TestCore,
  testCore,
} from '../support/test-core.ts';
import { testDirectory } from '../support/test-store.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

async function withSandbox(options: Parameters<typeof testCore>[0] = {}) {
  const core = await testCore(options);
  const { id: sandboxId } = await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER);
  const create = (request: object = {}) =>
    core.tokens.create(core.owner, { ...PLAIN_TOKEN, sandboxId, ...request });
  return { core, sandboxId, create };
}

function page(size: number, after = 0) {
  return { size, after };
}

describe('creating', () => {
  test('makes a token for seven days with every scope', async () => {
    const { core, create } = await withSandbox();
    const { token } = await create({ description: 'IDE', metadata: { user: 'u1' } });
    expect(token).toMatchObject({ description: 'IDE', metadata: { user: 'u1' }, lastUsedAt: null });
    expect(token.scopes).toEqual(SCOPES);
    expect(token.expiresAt - core.clock.now()).toBe(7 * DAY);
  });

  test('sorts the scopes and drops repeated ones', async () => {
    const { create } = await withSandbox();
    const { token } = await create({ scopes: ['watch:read', 'files:read', 'watch:read'] });
    expect(token.scopes).toEqual(['files:read', 'watch:read']);
  });

  test('gives the same request the same token and text, also after a restart', async () => {
    const directory = await testDirectory();
    const { core, sandboxId, create } = await withSandbox({ directory });
    const made = await Promise.all(Array.from({ length: 20 }, () => create({ requestId: 'r1' })));
    expect(new Set(made.map(({ text }) => text)).size).toBe(1);
    await core.close();
    const next = await testCore({ directory, clock: core.clock });
    const request = { ...PLAIN_TOKEN, sandboxId, requestId: 'r1' };
    const again = await next.tokens.create(next.owner, request);
    expect(again.text).toBe(made[0]?.text);
    const { tokens } = await next.tokens.list(next.owner, { sandboxId, page: page(10) });
    expect(tokens).toHaveLength(1);
  });

  test('refuses a request id that made a token of another sandbox', async () => {
    const { core, create } = await withSandbox();
    await create({ requestId: 'r1' });
    const other = await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER);
    await expect(create({ requestId: 'r1', sandboxId: other.id })).rejects.toMatchObject({
      field: 'requestId',
    });
  });

  test.each([
    ['description', { description: 'x'.repeat(257) }],
    ['description', { description: 'a\u0000b' }],
    ['description', { description: 'a\r\nSet-Cookie: b' }],
    ['description', { description: 'a\u009bb' }],
    ['expiresIn', { expiresInMs: 0 }],
    ['expiresIn', { expiresInMs: -1000 }],
    ['expiresIn', { expiresInMs: 999 }],
    ['expiresIn', { expiresInMs: Number.NaN }],
    ['expiresIn', { expiresInMs: 2 ** 63 }],
    ['expiresIn', { expiresInMs: 30 * DAY + 1 }],
    ['scopes', { scopes: ['terminal:read', 'root'] }],
    ['metadata', { metadata: { '': 'x' } }],
    ['requestId', { requestId: 'x'.repeat(129) }],
    ['sandboxId', { sandboxId: 'nonsense' }],
  ])('refuses a bad %s and names it', async (field, bad) => {
    const { create } = await withSandbox();
    await expect(create(bad)).rejects.toMatchObject({ reason: 'INVALID_ARGUMENT', field });
  });

  test('takes the bounds themselves, and characters outside the basic plane count once', async () => {
    const { create } = await withSandbox();
    await create({ expiresInMs: 1000, description: '😀'.repeat(256), requestId: 'x'.repeat(128) });
    await create({ expiresInMs: 30 * DAY });
  });

  test("needs a sandbox that lives and is the caller's", async () => {
    const { core, sandboxId, create } = await withSandbox();
    await expect(create({ sandboxId: newId('sbx') })).rejects.toMatchObject({
      reason: 'NOT_FOUND',
    });
    const stranger = { workspaceId: 'other', principalId: 'key2' };
    const request = { ...PLAIN_TOKEN, sandboxId };
    await expect(core.tokens.create(stranger, request)).rejects.toMatchObject({
      reason: 'NOT_FOUND',
    });
    await core.sandboxes.destroy(core.owner, sandboxId);
    await expect(create()).rejects.toMatchObject({ reason: 'NOT_FOUND' });
  });

  test('stops at the limit of live tokens, and goes on when one is revoked or expired', async () => {
    const { core, sandboxId, create } = await withSandbox();
    const first = await create({ expiresInMs: HOUR });
    for (let count = 1; count < MAX_LIVE_TOKENS; count++) await create();
    await expect(create()).rejects.toMatchObject({ reason: 'LIMIT_REACHED', message: /1000/ });
    core.clock.advance(HOUR);
    const last = await create();
    await expect(create()).rejects.toMatchObject({ reason: 'LIMIT_REACHED' });
    await core.tokens.revoke(core.owner, { sandboxId, tokenId: last.token.id });
    await create();
    expect(first.token.id).not.toBe(last.token.id);
  });
});

describe('listing and getting', () => {
  test('shows live tokens, oldest first, in pages', async () => {
    const { core, sandboxId, create } = await withSandbox();
    const ids = [];
    for (let count = 0; count < 3; count++) ids.push((await create()).token.id);
    const revoked = await create();
    await core.tokens.revoke(core.owner, { sandboxId, tokenId: revoked.token.id });
    await create({ expiresInMs: 1000 });
    core.clock.advance(1000);
    const list = (size: number, after: number) =>
      core.tokens.list(core.owner, { sandboxId, page: page(size, after) });
    const first = await list(2, 0);
    expect(first.tokens.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(first.nextPageToken).not.toBe('');
    const rest = await list(10, first.tokens.at(-1)?.sequence ?? 0);
    expect(rest.tokens.map(({ id }) => id)).toEqual(ids.slice(2));
    expect(rest.nextPageToken).toBe('');
  });

  test('shows a revoked token for a day, and never a text', async () => {
    const { core, sandboxId, create } = await withSandbox();
    const { token, text } = await create();
    const key = { sandboxId, tokenId: token.id };
    await core.tokens.revoke(core.owner, key);
    const record = await core.tokens.get(core.owner, key);
    expect(record).toMatchObject({ endReason: 'REVOKED', endedAt: core.clock.now() });
    expect(JSON.stringify(record)).not.toContain(text.split('.')[2]);
    core.clock.stepWallClock(ENDED_TOKEN_MEMORY_MS + 1);
    await core.tokens.purge();
    await expect(core.tokens.get(core.owner, key)).rejects.toMatchObject({ reason: 'NOT_FOUND' });
  });

  test('does not purge a live token', async () => {
    const { core, sandboxId, create } = await withSandbox();
    const { token } = await create({ expiresInMs: 30 * DAY });
    await core.sandboxes.extend(core.owner, sandboxId, 30 * DAY);
    core.clock.stepWallClock(2 * DAY);
    await core.tokens.purge();
    await core.tokens.get(core.owner, { sandboxId, tokenId: token.id });
  });

  test('finds a token under its own sandbox only', async () => {
    const { core, create } = await withSandbox();
    const { token } = await create();
    const other = await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER);
    type Act = (key: { sandboxId: string; tokenId: string }) => Promise<unknown>;
    const acts: Act[] = [
      (key) => core.tokens.get(core.owner, key),
      (key) => core.tokens.revoke(core.owner, key),
    ];
    for (const act of acts) {
      const key = { sandboxId: other.id, tokenId: token.id };
      await expect(act(key)).rejects.toMatchObject({
        reason: 'NOT_FOUND',
      });
      const malformed = { sandboxId: other.id, tokenId: 'token-id' };
      await expect(act(malformed)).rejects.toMatchObject({
        reason: 'INVALID_ARGUMENT',
        field: 'sessionTokenId',
      });
    }
  });
});

describe('revoking', () => {
  test('all tokens of a sandbox leaves other sandboxes alone', async () => {
    const { core, sandboxId, create } = await withSandbox();
    await create();
    await create();
    const other = await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER);
    await create({ sandboxId: other.id });
    expect(await core.tokens.revokeAll(core.owner, sandboxId)).toBe(2);
    expect(await core.tokens.revokeAll(core.owner, sandboxId)).toBe(0);
    expect(core.endings).toHaveLength(2);
    const left = await core.tokens.list(core.owner, { sandboxId: other.id, page: page(10) });
    expect(left.tokens).toHaveLength(1);
  });

  test('twice succeeds and keeps the first time', async () => {
    const { core, sandboxId, create } = await withSandbox();
    const { token } = await create();
    const key = { sandboxId, tokenId: token.id };
    await core.tokens.revoke(core.owner, key);
    const { endedAt } = await core.tokens.get(core.owner, key);
    core.clock.advance(5000);
    await core.tokens.revoke(core.owner, key);
    expect((await core.tokens.get(core.owner, key)).endedAt).toBe(endedAt);
  });
});

describe('the time of the last use', () => {
  async function used(core: TestCore, text: string) {
    await core.authenticator.authenticate(`Bearer ${text}`, core.clock.now());
    return core.clock.now();
  }

  test('is shown at once and kept within seconds', async () => {
    const { core, sandboxId, create } = await withSandbox();
    const { token, text } = await create();
    core.clock.advance(1000);
    const usedAt = await used(core, text);
    const key = { sandboxId, tokenId: token.id };
    expect((await core.tokens.get(core.owner, key)).lastUsedAt).toBe(usedAt);
    expect((await core.store.sessionTokens.get(token.id))?.lastUsedAt).toBeNull();
    core.clock.advance(USAGE_FLUSH_MS);
    await core.access.close();
    expect((await core.store.sessionTokens.get(token.id))?.lastUsedAt).toBe(usedAt);
    const { tokens } = await core.tokens.list(core.owner, { sandboxId, page: page(10) });
    expect(tokens[0]?.lastUsedAt).toBe(usedAt);
  });

  test('is kept when the gateway closes', async () => {
    const directory = await testDirectory();
    const { core, sandboxId, create } = await withSandbox({ directory });
    const { token, text } = await create();
    const usedAt = await used(core, text);
    await core.close();
    expect(core.clock.pendingTimers).toBe(0);
    const next = await testCore({ directory, clock: core.clock });
    const record = await next.tokens.get(next.owner, { sandboxId, tokenId: token.id });
    expect(record.lastUsedAt).toBe(usedAt);
  });
});
