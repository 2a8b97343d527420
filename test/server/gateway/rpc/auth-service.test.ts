import { expect, test } from 'vitest';
import { API_KEY, NEVER, PLAIN_SANDBOX, PLAIN_TOKEN } from '../support/test-core.ts';
import { testFront } from '../support/test-front.ts';

async function setUp() {
  const front = await testFront();
  const { sandboxes, tokens, owner, post } = front;
  const sandbox = async () => (await sandboxes.create(owner, PLAIN_SANDBOX, NEVER)).id;
  const own = await sandbox();
  const mint = (sandboxId: string, more: object = {}) =>
    tokens.create(owner, { ...PLAIN_TOKEN, sandboxId, ...more });
  const refresh = (credential: string, previousToken: string, at = `/sandboxes/${own}`) =>
    post(
      `${at}/computesdk.v1.AuthService/RefreshCredential`,
      { previousToken },
      { authorization: `Bearer ${credential}` },
    );
  return { ...front, own, sandbox, mint, refresh };
}

test('RefreshCredential tells what the new token is worth, and whether it continues the old', async () => {
  const { mint, own, refresh } = await setUp();
  const [old, next] = [await mint(own), await mint(own, { scopes: ['terminal:read'] })];
  const answer = {
    sessionTokenId: next.token.id,
    scopes: ['terminal:read'],
    expiresAt: new Date(next.token.expiresAt).toISOString().replace('.000Z', 'Z'),
  };
  expect(await refresh(next.text, old.text)).toEqual({
    status: 200,
    json: { continued: true, ...answer },
  });
  expect(await refresh(next.text, 'forgotten')).toEqual({ status: 200, json: answer });
});

test('RefreshCredential is authenticated by the new token alone', async () => {
  const { mint, own, sandbox, refresh } = await setUp();
  const old = await mint(own);
  const foreign = await mint(await sandbox());
  expect(await refresh('forged', old.text)).toMatchObject({ status: 401 });
  expect(await refresh(foreign.text, old.text)).toMatchObject({
    status: 403,
    json: { code: 'permission_denied' },
  });
  expect(await refresh(old.text, foreign.text)).toMatchObject({ status: 200 });
});

test('RefreshCredential is refused for an API key, at the root, and without a previous token', async () => {
  const { mint, own, refresh } = await setUp();
  const { text } = await mint(own);
  const refused = { status: 400, json: { code: 'failed_precondition' } };
  expect(await refresh(API_KEY, text)).toMatchObject(refused);
  expect(await refresh(text, text, '')).toMatchObject(refused);
  expect(await refresh(text, '')).toMatchObject({
    status: 400,
    json: { code: 'invalid_argument' },
  });
});
