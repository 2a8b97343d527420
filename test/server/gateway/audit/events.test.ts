import { expect, test } from 'vitest';
import { API_KEY, NEVER, PLAIN_SANDBOX, PLAIN_TOKEN, testCore } from '../support/test-core.ts';
import { testFront } from '../support/test-front.ts';

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
