import { newId } from '../../../../server/core/id.ts';
import { hashSecret, newSalt } from '../../../../server/gateway/auth/link-secrets.ts';
import { generateSigningKey } from '../../../../server/gateway/auth/token-signer.ts';
import { Store } from '../../../../server/gateway/store/store.ts';

/**
 * A process that is to be killed: creates session tokens and revokes them, creates magic links and
 * has four browsers redeem each at once. Prints a line for each change after the store acknowledged it.
 */
const [directory = ''] = process.argv.slice(2);
const store = await Store.open(directory);
const key = await generateSigningKey();
await store.identity.useApiKey({ id: 'key1', workspaceId: 'default', hash: 'h' }, 0);
await store.identity.addSigningKey(key, 0);

const BROWSERS = 4;
/** More than any run makes. */
const ENOUGH = 1_000_000;

/** Written at once, not when the loop gets to it: what was not printed was not promised. */
function say(line: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${line}\n`, () => resolve()));
}

async function newSandbox(): Promise<string> {
  const id = newId('sbx');
  const request = { principalId: 'key1', method: 'CreateSandbox', requestId: id };
  await store.sandboxes.insert({
    ...{ id, workspaceId: 'default', namespace: 'n', name: '', metadata: {} },
    ...{ driver: 'fake', createdAt: 1, expiresAt: 10, request, limit: ENOUGH },
  });
  return id;
}

async function revoke(sandboxId: string): Promise<never> {
  for (;;) {
    const id = newId('tok');
    await store.sessionTokens.insert({
      ...{ id, sandboxId, description: '', scopes: [], metadata: {}, signingKeyId: key.id },
      ...{ createdAt: 1, expiresAt: 10, liveLimit: ENOUGH, keptLimit: ENOUGH },
      request: { principalId: 'key1', method: 'CreateSessionToken', requestId: id },
    });
    await say(`token ${id}`);
    await store.sessionTokens.end(id, 'REVOKED', 2);
    await say(`revoked ${id}`);
  }
}

async function redeem(sandboxId: string): Promise<never> {
  for (;;) {
    const id = newId('lnk');
    await store.magicLinks.insert({
      ...{ id, sandboxId, salt: newSalt(), redirectUrl: 'http://localhost/', description: '' },
      ...{ scopes: [], tokenExpiresInMs: 8, createdAt: 1, expiresAt: 10, hash: hashSecret(id) },
      ...{ liveLimit: ENOUGH, keptLimit: ENOUGH },
      request: { principalId: 'key1', method: 'CreateMagicLink', requestId: id },
    });
    await say(`link ${id}`);
    await Promise.all(Array.from({ length: BROWSERS }, () => redeemOnce(id)));
  }
}

async function redeemOnce(linkId: string): Promise<void> {
  const tokenId = newId('tok');
  const { kind } = await store.magicLinks.redeem({
    ...{ linkId, now: 2, nonceHash: null, sessionHash: hashSecret(newSalt()) },
    formerSessionHash: null,
    token: { id: tokenId, signingKeyId: key.id, expiresAt: 10 },
    ...{ liveTokenLimit: ENOUGH, grantLimit: 64, repeatWithinMs: 60_000 },
  });
  if (kind === 'redeemed') await say(`redeemed ${linkId} ${tokenId}`);
}

const sandboxId = await newSandbox();
await say('ready');
await Promise.all([revoke(sandboxId), revoke(sandboxId), redeem(sandboxId), redeem(sandboxId)]);
