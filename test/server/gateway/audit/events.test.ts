import { expect, test } from 'vitest';
import { ADDRESS_BURST } from '../../../../server/gateway/http/address-limiter.ts';
import { PLAIN_LINK, withLink } from '../support/sign-in.ts';
import { API_KEY, NEVER, PLAIN_SANDBOX, PLAIN_TOKEN, testCore } from '../support/test-core.ts';
import { testFront } from '../support/test-front.ts';

/** Any token's id. */
const TOK = expect.stringMatching(/^tok/);

test('tells who created and ended what', async () => {
  const { sandboxes, tokens, owner, audited } = await testCore();
  const { id: sandboxId } = await sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
  const first = await tokens.create(owner, { ...PLAIN_TOKEN, sandboxId });
  const second = await tokens.create(owner, { ...PLAIN_TOKEN, sandboxId });
  const key = { sandboxId, tokenId: first.token.id };
  await tokens.revoke(owner, key);
  // What has ended cannot be revoked again.
  await tokens.revoke(owner, key);
  await tokens.revokeAll(owner, sandboxId);
  await sandboxes.destroy(owner, sandboxId);
  const by = { actor: owner.principalId, sandboxId };
  expect(audited).toEqual([
    { event: 'sandbox.created', ...by },
    { event: 'session_token.created', ...by, subject: first.token.id },
    { event: 'session_token.created', ...by, subject: second.token.id },
    { event: 'session_token.revoked', ...by, subject: first.token.id },
    { event: 'session_token.revoked_all', ...by, count: 1 },
    { event: 'sandbox.destroyed', ...by },
  ]);
});

test('tells once that a repeated request created something', async () => {
  const { sandboxes, tokens, owner, audited } = await testCore();
  const request = { ...PLAIN_SANDBOX, requestId: 'r1' };
  const { id: sandboxId } = await sandboxes.create(owner, request, NEVER);
  await sandboxes.create(owner, request, NEVER);
  for (let times = 0; times < 2; times += 1) {
    await tokens.create(owner, { ...PLAIN_TOKEN, requestId: 'r2', sandboxId });
  }
  expect(audited.map(({ event }) => event)).toEqual(['sandbox.created', 'session_token.created']);
});

test('names the system where nobody acted', async () => {
  const { sandboxes, owner, audited, clock } = await testCore();
  const request = { ...PLAIN_SANDBOX, timeoutMs: 60_000 };
  const { id: sandboxId } = await sandboxes.create(owner, request, NEVER);
  await clock.advanceAsync(61_000, 1_000);
  await expect
    .poll(() => audited.at(-1))
    .toEqual({ event: 'sandbox.expired', actor: 'system', sandboxId });
});

test('knows the client behind a trusted proxy, and the page', async () => {
  const front = await testFront({ trustedProxies: ['127.0.0.1'] });
  const { id: sandboxId } = await front.sandboxes.create(front.owner, PLAIN_SANDBOX, NEVER);
  const path = '/computesdk.v1.SessionTokenService/CreateSessionToken';
  const from = { 'x-forwarded-for': '6.6.6.6, 203.0.113.9' };
  await front.post(path, { sandboxId }, { authorization: `Bearer ${API_KEY}`, ...from });
  await front.post(
    path,
    { sandboxId },
    { authorization: 'Bearer wrong', ...from, origin: front.url },
  );
  expect(front.audited.slice(-2)).toMatchObject([
    { event: 'session_token.created', actor: 'key1', address: '203.0.113.9', sandboxId },
    { event: 'api_key.refused', actor: 'unknown', address: '203.0.113.9', origin: front.url },
  ]);
});

test('tells the life of a magic link and of the browser that it signed in', async () => {
  const front = await testFront();
  const { access, owner, audited, url } = front;
  const { sandboxId, link, secret } = await withLink(front);
  const spare = await access.links.create(owner, { ...PLAIN_LINK, sandboxId });
  await access.links.revoke(owner, { sandboxId, linkId: spare.link.id });
  await access.links.revoke(owner, { sandboxId, linkId: spare.link.id });
  const press = () =>
    fetch(`${url}/magic/${secret}`, {
      method: 'POST',
      headers: { origin: url },
      redirect: 'manual',
    });
  const cookie = ((await press()).headers.get('set-cookie') ?? '').split(';', 1)[0] ?? '';
  await press();
  const headers = { cookie, origin: url };
  await front.post(`/sandboxes/${sandboxId}/computesdk.v1.AuthService/SignOut`, {}, headers);
  const by = { actor: owner.principalId, sandboxId };
  const page = { address: '127.0.0.1', origin: url, sandboxId };
  expect(audited.slice(1)).toEqual([
    { event: 'magic_link.created', ...by, subject: link.id },
    { event: 'magic_link.created', ...by, subject: spare.link.id },
    { event: 'magic_link.revoked', ...by, subject: spare.link.id },
    { event: 'magic_link.used', ...page, actor: TOK, subject: link.id, result: TOK },
    { event: 'browser.signed_in', ...page, actor: TOK, subject: TOK },
    { event: 'magic_link.refused', ...page, actor: 'unknown', reason: 'USED', subject: link.id },
    { event: 'browser.signed_out', ...page, actor: TOK, subject: TOK },
  ]);
  expect(JSON.stringify(audited)).not.toContain(secret);
  expect(JSON.stringify(audited)).not.toContain(cookie.slice(20));
});

test('limits how often one client looks at links, and says how long to wait', async () => {
  const front = await testFront({ trustedProxies: ['127.0.0.1'] });
  const { secret } = await withLink(front);
  const ask = (from: string) =>
    fetch(`${front.url}/magic/${secret}`, { headers: { 'x-forwarded-for': from } });
  for (let count = 0; count < ADDRESS_BURST / 100; count += 1) {
    await Promise.all(Array.from({ length: 100 }, () => ask('203.0.113.9')));
  }
  const refused = await ask('203.0.113.9');
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect((await ask('203.0.113.10')).status).toBe(200);
});
