import { describe, expect, test } from 'vitest';
import { newId } from '../../../../server/core/id.ts';
import { SCOPES } from '../../../../server/core/principal.ts';
import {
  DEFAULT_LINK_EXPIRES_IN_MS,
  MAX_LIVE_LINKS,
} from '../../../../server/gateway/auth/magic-links.ts';
import { PLAIN_LINK, withLink } from '../support/sign-in.ts';
import { APP_ORIGIN, NEVER, PLAIN_SANDBOX, testCore } from '../support/test-core.ts';
import { testDirectory } from '../support/test-store.ts';

const ALL = { size: 500, after: 0 };

describe('creating', () => {
  test('makes a link for fifteen minutes that leads to the workspace', async () => {
    const core = await testCore();
    const { link, secret } = await withLink(core);
    expect(link.redirectUrl).toBe(`${APP_ORIGIN}/workspace`);
    expect(link.scopes).toEqual(SCOPES);
    expect(link.expiresAt - core.clock.now()).toBe(DEFAULT_LINK_EXPIRES_IN_MS);
    expect(secret).toMatch(/^[\w-]{43}$/);
  });

  test('gives the same request the same link and secret, also after a restart', async () => {
    const directory = await testDirectory();
    const core = await testCore({ directory });
    const { sandboxId } = await withLink(core);
    const request = { ...PLAIN_LINK, sandboxId, requestId: 'r1' };
    const made = await Promise.all(
      Array.from({ length: 20 }, () => core.access.links.create(core.owner, request)),
    );
    expect(new Set(made.map(({ secret }) => secret)).size).toBe(1);
    await core.close();
    const next = await testCore({ directory, clock: core.clock });
    expect((await next.access.links.create(next.owner, request)).secret).toBe(made[0]?.secret);
    const { links } = await next.access.links.list(next.owner, { sandboxId, page: ALL });
    expect(links).toHaveLength(2);
  });

  test('refuses the request id of a link of another sandbox', async () => {
    const core = await testCore();
    await withLink(core, { requestId: 'r1' });
    await expect(withLink(core, { requestId: 'r1' })).rejects.toMatchObject({
      reason: 'INVALID_ARGUMENT',
      field: 'requestId',
    });
  });

  test.each([
    ['expiresIn', { expiresInMs: 999 }],
    ['expiresIn', { expiresInMs: 31 * 86_400_000 }],
    ['tokenExpiresIn', { tokenExpiresInMs: 0 }],
    ['scopes', { scopes: ['root'] }],
    ['description', { description: 'x'.repeat(257) }],
    ['description', { description: 'a\r\nSet-Cookie: b' }],
    ['redirectUrl', { redirectUrl: 'https://evil.example' }],
    ['redirectUrl', { redirectUrl: `/${'x'.repeat(2048)}` }],
    ['requestId', { requestId: 'x'.repeat(129) }],
  ])('refuses a bad %s', async (field, request) => {
    const core = await testCore();
    await expect(withLink(core, request)).rejects.toMatchObject({
      reason: 'INVALID_ARGUMENT',
      field,
    });
  });

  test('refuses where browsers would not keep the cookie, and says why', async () => {
    const core = await testCore({ cookiesUnavailable: 'needs HTTPS' });
    await expect(withLink(core)).rejects.toMatchObject({
      reason: 'FAILED_PRECONDITION',
      message: 'needs HTTPS',
    });
  });

  test(`stops at ${MAX_LIVE_LINKS} links that can be used`, async () => {
    const core = await testCore();
    const { sandboxId, link } = await withLink(core);
    const create = () => core.access.links.create(core.owner, { ...PLAIN_LINK, sandboxId });
    for (let count = 1; count < MAX_LIVE_LINKS; count++) await create();
    await expect(create()).rejects.toMatchObject({ reason: 'LIMIT_REACHED' });
    await core.access.links.revoke(core.owner, { sandboxId, linkId: link.id });
    await create();
  });

  test('refuses an unknown sandbox', async () => {
    const core = await testCore();
    const request = { ...PLAIN_LINK, sandboxId: newId('sbx') };
    await expect(core.access.links.create(core.owner, request)).rejects.toMatchObject({
      reason: 'NOT_FOUND',
    });
  });
});

describe('looking', () => {
  test('tells what became of a link', async () => {
    const core = await testCore();
    const { links, redemption } = core.access;
    const usable = await withLink(core);
    const used = await withLink(core);
    const revoked = await withLink(core);
    const orphan = await withLink(core);
    await redemption.redeem(used.secret, undefined);
    await links.revoke(core.owner, { sandboxId: revoked.sandboxId, linkId: revoked.link.id });
    await core.sandboxes.destroy(core.owner, orphan.sandboxId);
    expect(await links.look(usable.secret)).toMatchObject({ kind: 'usable' });
    expect(await links.look(used.secret)).toEqual({ kind: 'ended', reason: 'USED' });
    expect(await links.look(revoked.secret)).toEqual({ kind: 'ended', reason: 'REVOKED' });
    expect(await links.look(orphan.secret)).toEqual({ kind: 'ended', reason: 'DESTROYED' });
    expect(await links.look(usable.link.id)).toEqual({ kind: 'unknown' });
    expect(await links.look('x'.repeat(43))).toEqual({ kind: 'unknown' });
    core.clock.advance(DEFAULT_LINK_EXPIRES_IN_MS);
    expect(await links.look(usable.secret)).toEqual({ kind: 'ended', reason: 'EXPIRED' });
  });

  test('lists what can be used, page by page, oldest first', async () => {
    const core = await testCore();
    const { sandboxId, link } = await withLink(core);
    const { links } = core.access;
    const made = [link];
    for (let count = 0; count < 4; count++) {
      const created = await links.create(core.owner, { ...PLAIN_LINK, sandboxId });
      made.push(created.link);
    }
    await links.revoke(core.owner, { sandboxId, linkId: made[1]?.id ?? '' });
    const first = await links.list(core.owner, { sandboxId, page: { size: 2, after: 0 } });
    expect(first.links.map(({ id }) => id)).toEqual([made[0]?.id, made[2]?.id]);
    expect(first.nextPageToken).not.toBe('');
  });

  test('finds no link of another sandbox to revoke', async () => {
    const core = await testCore();
    const { link } = await withLink(core);
    const { id } = await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER);
    const revoke = (linkId: string) =>
      core.access.links.revoke(core.owner, { sandboxId: id, linkId });
    await expect(revoke(link.id)).rejects.toMatchObject({ reason: 'NOT_FOUND' });
    await expect(revoke('lnk')).rejects.toMatchObject({ field: 'magicLinkId' });
  });
});
