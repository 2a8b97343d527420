import { newId } from '../../../../server/core/id.ts';
import { generateSigningKey } from '../../../../server/gateway/auth/token-signer.ts';
import { Store } from '../../../../server/gateway/store/store.ts';

/**
 * A process that is to be killed: creates sandboxes and session tokens and revokes every other one,
 * and prints a line for each change after the store acknowledged it.
 */
const [directory = ''] = process.argv.slice(2);
const store = await Store.open(directory);
const key = await generateSigningKey();
await store.identity.useApiKey({ id: 'key1', workspaceId: 'default', hash: 'h' }, 0);
await store.identity.addSigningKey(key, 0);

/** Written at once, not when the loop gets to it: what was not printed was not promised. */
function say(line: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${line}\n`, () => resolve()));
}

async function work(): Promise<never> {
  for (;;) {
    const sandboxId = newId('sbx');
    const request = { principalId: 'key1', method: 'CreateSandbox', requestId: sandboxId };
    await store.sandboxes.insert({
      ...{ id: sandboxId, workspaceId: 'default', namespace: 'n', name: '', metadata: {} },
      ...{ driver: 'fake', createdAt: 1, expiresAt: 10, request, limit: 1_000_000 },
    });
    await say(`sandbox ${sandboxId}`);
    const id = newId('tok');
    await store.sessionTokens.insert({
      ...{ id, sandboxId, description: '', scopes: [], metadata: {}, signingKeyId: key.id },
      ...{ createdAt: 1, expiresAt: 10, liveLimit: 10, keptLimit: 10 },
      request: { principalId: 'key1', method: 'CreateSessionToken', requestId: id },
    });
    await say(`token ${id}`);
    await store.sessionTokens.end(id, 'REVOKED', 2);
    await say(`revoked ${id}`);
  }
}

await Promise.all([work(), work(), work(), work()]);
