import { describe, expect, test } from 'vitest';
import { MAX_BROWSER_GRANTS } from '../../../../server/gateway/auth/link-redemption.ts';
import { PLAIN_LINK, signIn, withLink } from '../support/sign-in.ts';
import { APP_ORIGIN, PLAIN_TOKEN, type TestCore, testCore } from '../support/test-core.ts';
import { testDirectory } from '../support/test-store.ts';

const ACTOR = { actor: 'tok1' };
const NONCE = '__Host-computesdk-link=a-nonce';

function caller(core: TestCore, cookie: string, sandboxId: string, origin = APP_ORIGIN) {
  const credentials = { authorization: undefined, cookie, origin, sandboxId };
  return core.access.authentication.authenticate(credentials, core.clock.now());
}

function newLink(core: TestCore, sandboxId: string) {
  return core.access.links.create(core.owner, { ...PLAIN_LINK, sandboxId });
}

describe('using a link', () => {
  test('signs the browser in to the sandbox, with the scopes and for the time of the link', async () => {
    const core = await testCore();
    const { sandboxId, secret } = await withLink(core, {
      scopes: ['terminal:read'],
      tokenExpiresInMs: 60_000,
      description: 'Ada',
    });
    const { header, token, expiresAt } = await signIn(core, secret);
    expect(await caller(core, header, sandboxId)).toMatchObject({
      via: 'cookie',
      sandboxId,
      expiresAt: core.clock.now() + 60_000,
      principal: { id: token.id, scopes: ['terminal:read'] },
    });
    expect(expiresAt).toBe(core.clock.now() + 60_000);
    const page = { size: 10, after: 0 };
    const { tokens } = await core.tokens.list(core.owner, { sandboxId, page });
    expect(tokens).toMatchObject([{ id: token.id, kind: 'magic_link', description: 'Ada' }]);
  });

  test('succeeds once, whatever comes at the same time', async () => {
    const core = await testCore();
    const { sandboxId, secret } = await withLink(core);
    const outcomes = await Promise.all(
      Array.from({ length: 16 }, () => core.access.redemption.redeem(secret, undefined)),
    );
    expect(outcomes.filter(({ kind }) => kind === 'signed_in')).toHaveLength(1);
    expect(outcomes.filter(({ kind }) => kind === 'ended')).toHaveLength(15);
    const page = { size: 10, after: 0 };
    expect((await core.tokens.list(core.owner, { sandboxId, page })).tokens).toHaveLength(1);
  });

  test('may be repeated by the browser that did it and got no answer', async () => {
    const core = await testCore();
    const { secret } = await withLink(core);
    const first = await signIn(core, secret, NONCE);
    const again = await signIn(core, secret, NONCE);
    expect(again).toMatchObject({ cookie: first.cookie, isRepeated: true });
    const other = await core.access.redemption.redeem(secret, '__Host-computesdk-link=other');
    expect(other).toMatchObject({ kind: 'ended', reason: 'USED' });
    expect(await core.access.redemption.redeem(secret, undefined)).toMatchObject({ kind: 'ended' });
  });

  test('may not be repeated once the session was used', async () => {
    const core = await testCore();
    const { sandboxId, secret } = await withLink(core);
    const { header } = await signIn(core, secret, NONCE);
    await caller(core, header, sandboxId);
    expect(await core.access.redemption.redeem(secret, NONCE)).toMatchObject({ kind: 'ended' });
  });

  test('may not be repeated after a minute', async () => {
    const core = await testCore();
    const { secret } = await withLink(core);
    await signIn(core, secret, NONCE);
    core.clock.advance(60_001);
    expect(await core.access.redemption.redeem(secret, NONCE)).toMatchObject({ kind: 'ended' });
  });

  test('survives a restart: neither is the link usable again, nor the browser signed out', async () => {
    const directory = await testDirectory();
    const core = await testCore({ directory });
    const { sandboxId, secret } = await withLink(core);
    const { header, token } = await signIn(core, secret);
    await core.close();
    const next = await testCore({ directory, clock: core.clock });
    expect(await next.access.redemption.redeem(secret, undefined)).toMatchObject({ kind: 'ended' });
    expect(await caller(next, header, sandboxId)).toMatchObject({ principal: { id: token.id } });
  });

  test('is refused when the sandbox has as many tokens as it can have, and the link stays', async () => {
    const core = await testCore();
    const { sandboxId, secret } = await withLink(core);
    const made: string[] = [];
    for (let count = 0; count < 1000; count++) {
      const { token } = await core.tokens.create(core.owner, { ...PLAIN_TOKEN, sandboxId });
      made.push(token.id);
    }
    expect(await core.access.redemption.redeem(secret, undefined)).toMatchObject({ kind: 'limit' });
    await core.tokens.revoke(core.owner, { sandboxId, tokenId: made[0] ?? '' });
    await signIn(core, secret);
  });
});

describe('a signed-in browser', () => {
  test('gets one cookie for several sandboxes, a new one each time', async () => {
    const core = await testCore();
    const a = await withLink(core);
    const b = await withLink(core);
    const first = await signIn(core, a.secret);
    await caller(core, first.header, a.sandboxId);
    const second = await signIn(core, b.secret, first.header);
    expect(second.cookie).not.toBe(first.cookie);
    expect(await caller(core, second.header, a.sandboxId)).toMatchObject({
      principal: { id: first.token.id },
    });
    await caller(core, second.header, b.sandboxId);
    await expect(caller(core, first.header, a.sandboxId)).rejects.toMatchObject({
      reason: 'UNAUTHENTICATED',
    });
    expect(await core.access.sessions.newestSandbox(second.header)).toBe(b.sandboxId);
  });

  test('keeps its readers and writers when it signs in to the same sandbox again', async () => {
    const core = await testCore();
    const { sandboxId, secret } = await withLink(core);
    const first = await signIn(core, secret);
    const { secret: another } = await newLink(core, sandboxId);
    const second = await signIn(core, another, first.header);
    expect(second.token.subjects).toEqual([first.token.id]);
  });

  test('opens no other sandbox, and nothing at the root of the gateway', async () => {
    const core = await testCore();
    const { secret } = await withLink(core);
    const other = await withLink(core);
    const { header } = await signIn(core, secret);
    const refusal = { reason: 'UNAUTHENTICATED' };
    await expect(caller(core, header, other.sandboxId)).rejects.toMatchObject(refusal);
    const atRoot = { authorization: undefined, cookie: header, origin: APP_ORIGIN };
    await expect(
      core.access.authentication.authenticate({ ...atRoot, sandboxId: undefined }, 0),
    ).rejects.toMatchObject(refusal);
  });

  test('is not believed without an origin, nor with two cookies of our name', async () => {
    const core = await testCore();
    const { sandboxId, secret } = await withLink(core);
    const { header } = await signIn(core, secret);
    const authenticate = (cookie: string, origin?: string) =>
      core.access.authentication.authenticate(
        { authorization: undefined, cookie, origin, sandboxId },
        core.clock.now(),
      );
    await expect(authenticate(header)).rejects.toMatchObject({ reason: 'ORIGIN_NOT_ALLOWED' });
    await expect(authenticate(`${header}; __Host-computesdk=x`, APP_ORIGIN)).rejects.toMatchObject({
      reason: 'UNAUTHENTICATED',
    });
    const tossed = Array.from({ length: 300 }, (_, index) => `c${index}=v`).join('; ');
    await authenticate(`${tossed}; ${header}; __Secure-computesdk=y`, APP_ORIGIN);
  });

  test('is out from the moment its token is revoked, expired, or its sandbox destroyed', async () => {
    const core = await testCore();
    const [a, b, c] = [
      await withLink(core),
      await withLink(core),
      await withLink(core, { tokenExpiresInMs: 1000 }),
    ];
    const [one, two, three] = [
      await signIn(core, a.secret),
      await signIn(core, b.secret),
      await signIn(core, c.secret),
    ];
    for (const [session, { sandboxId }] of [
      [one, a],
      [two, b],
      [three, c],
    ] as const) {
      await caller(core, session.header, sandboxId);
    }
    await core.tokens.revoke(core.owner, { sandboxId: a.sandboxId, tokenId: one.token.id });
    await core.sandboxes.destroy(core.owner, b.sandboxId);
    core.clock.advance(1000);
    await expect(caller(core, one.header, a.sandboxId)).rejects.toMatchObject({
      reason: 'REVOKED',
    });
    await expect(caller(core, two.header, b.sandboxId)).rejects.toMatchObject({
      reason: 'DESTROYED',
    });
    await expect(caller(core, three.header, c.sandboxId)).rejects.toMatchObject({
      reason: 'EXPIRED',
    });
    core.clock.advance(-2000);
    await expect(caller(core, three.header, c.sandboxId)).rejects.toMatchObject({
      reason: 'EXPIRED',
    });
  });

  test('ends all access at once, although a client of the first reads slowly', async () => {
    const core = await testCore();
    const [a, b] = [await withLink(core), await withLink(core)];
    const first = await signIn(core, a.secret);
    const second = await signIn(core, b.secret, first.header);
    const ended: string[] = [];
    const never = new Promise<void>(() => {});
    for (const { token } of [first, second]) {
      const { id: principalId, sandboxId } = token;
      const end = () => {
        ended.push(principalId);
        return never;
      };
      core.calls.open({ kind: 'stream', sandboxId, principalId, end });
    }
    void core.access.sessions.signOut(second.header, undefined, ACTOR);
    await expect.poll(() => ended.length).toBe(2);
  });

  test('leaves one sandbox, or all of them', async () => {
    const core = await testCore();
    const { sessions } = core.access;
    const [a, b] = [await withLink(core), await withLink(core)];
    const first = await signIn(core, a.secret);
    const { header, token } = await signIn(core, b.secret, first.header);
    await caller(core, header, a.sandboxId);
    expect(await sessions.signOut(header, a.sandboxId, ACTOR)).toBe(false);
    expect(core.endings).toContain(`${first.token.id} REVOKED`);
    await expect(caller(core, header, a.sandboxId)).rejects.toMatchObject({
      reason: 'UNAUTHENTICATED',
    });
    await caller(core, header, b.sandboxId);
    expect(await sessions.signOut(header, undefined, ACTOR)).toBe(true);
    expect(core.endings).toContain(`${token.id} REVOKED`);
    await expect(caller(core, header, b.sandboxId)).rejects.toMatchObject({
      reason: 'UNAUTHENTICATED',
    });
  });

  test('signs out of a sandbox that it was signed in to twice', async () => {
    const core = await testCore();
    const { sandboxId, secret } = await withLink(core);
    const first = await signIn(core, secret);
    const second = await signIn(core, (await newLink(core, sandboxId)).secret, first.header);
    expect(await core.access.sessions.signOut(second.header, sandboxId, ACTOR)).toBe(true);
    expect(core.endings).toContain(`${first.token.id} REVOKED`);
    expect(core.endings).toContain(`${second.token.id} REVOKED`);
  });

  test(`holds ${MAX_BROWSER_GRANTS} tokens, and loses the oldest above that`, async () => {
    const core = await testCore();
    const { sandboxId, secret } = await withLink(core);
    let session = await signIn(core, secret);
    const oldest = session.token.id;
    for (let count = 1; count < MAX_BROWSER_GRANTS; count++) {
      session = await signIn(core, (await newLink(core, sandboxId)).secret, session.header);
    }
    expect(core.endings).toEqual([]);
    await signIn(core, (await newLink(core, sandboxId)).secret, session.header);
    expect(core.endings).toEqual([`${oldest} REVOKED`]);
  });

  test('is forgotten when all it had is forgotten', async () => {
    const core = await testCore();
    const { sandboxId, secret } = await withLink(core, { tokenExpiresInMs: 1000 });
    const { header } = await signIn(core, secret);
    core.clock.advance(2 * 86_400_000);
    await core.access.purge();
    await expect(caller(core, header, sandboxId)).rejects.toMatchObject({
      reason: 'UNAUTHENTICATED',
    });
  });
});
