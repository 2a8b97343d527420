import { randomUUID } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { newId } from '../core/id.ts';
import { ApiKeyCheck, hashApiKey, type LoadedApiKey, loadOrCreateApiKey } from './auth/api-key.ts';
import type { IdentityStore } from './auth/identity.ts';
import { LinkSecrets } from './auth/link-secrets.ts';
import { generateSigningKey, TokenSigner } from './auth/token-signer.ts';
import type { GatewayConfig } from './config.ts';

/** The one workspace of an embedded store. */
const WORKSPACE_ID = 'default';

/** Who the installation is: its API key and what signs its tokens. */
export type Identities = {
  readonly apiKey: ApiKeyCheck;
  readonly signer: TokenSigner;
  readonly linkSecrets: LinkSecrets;
  /** The key that this gateway keeps for its owner. Absent when the settings gave one. */
  readonly keptApiKey?: LoadedApiKey;
};

/** Reads the installation's keys; makes those that are missing. */
export async function openIdentities(
  store: IdentityStore,
  config: Pick<GatewayConfig, 'apiKey' | 'dataDirectory'>,
  clock: Clock,
): Promise<Identities> {
  const { text, kept: keptApiKey } = await readApiKey(config);
  const draft = { id: newId('key'), workspaceId: WORKSPACE_ID, hash: hashApiKey(text) };
  const apiKey = new ApiKeyCheck(await store.useApiKey(draft, clock.now()));
  const installationId = await store.installation(randomUUID(), clock.now());
  if ((await store.signingKeys()).length === 0) {
    await store.addSigningKey(await generateSigningKey(), clock.now());
  }
  const signer = await TokenSigner.open({ installationId, keys: await store.signingKeys() });
  const linkSecrets = new LinkSecrets(text);
  return { apiKey, signer, linkSecrets, ...(keptApiKey && { keptApiKey }) };
}

async function readApiKey(
  config: Pick<GatewayConfig, 'apiKey' | 'dataDirectory'>,
): Promise<{ text: string; kept?: LoadedApiKey }> {
  if (config.apiKey !== undefined) return { text: config.apiKey };
  const kept = await loadOrCreateApiKey(config.dataDirectory);
  return { text: kept.text, kept };
}
