import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { AuditEvent } from '../../../../server/core/audit.ts';
import { silentLogger } from '../../../../server/core/log.ts';
import { Access } from '../../../../server/gateway/access.ts';
import { ApiKeyCheck, hashApiKey } from '../../../../server/gateway/auth/api-key.ts';
import { LinkSecrets } from '../../../../server/gateway/auth/link-secrets.ts';
import { generateSigningKey, TokenSigner } from '../../../../server/gateway/auth/token-signer.ts';
import { LiveCallRegistry } from '../../../../server/gateway/proxy/live-call-registry.ts';
import { SandboxFiles } from '../../../../server/gateway/sandbox/sandbox-files.ts';
import { SandboxRegistry } from '../../../../server/gateway/sandbox/sandbox-registry.ts';
import { Sandboxes } from '../../../../server/gateway/sandbox/sandbox-service.ts';
import { Store } from '../../../../server/gateway/store/store.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FakeAgents } from './fake-agents.ts';
import { testDirectory } from './test-store.ts';

export const API_KEY = 'csk_the-api-key-of-the-tests';

/** Where the app of the tests is. */
export const APP_ORIGIN = 'https://app.example.com';

export type TestCoreOptions = {
  /** Why browsers would not keep cookies. Default: they do. */
  readonly cookiesUnavailable?: string;
  /** A data directory of an earlier core. */
  readonly directory?: string;
  readonly clock?: FakeClock;
  readonly agents?: FakeAgents;
  readonly uidRange?: { readonly first: number; readonly last: number };
  readonly busyUids?: ReadonlySet<number>;
};

export type TestCore = Awaited<ReturnType<typeof testCore>>;

/** The domains of a gateway on a real store, with a clock that stands still and agents that are none. */
export async function testCore(options: TestCoreOptions = {}) {
  const directory = options.directory ?? (await testDirectory());
  const clock = options.clock ?? new FakeClock();
  const agents = options.agents ?? new FakeAgents();
  const store = await Store.open(directory);
  const files = new SandboxFiles(join(directory, 'sandboxes'));
  const registry = await SandboxRegistry.open(store.sandboxes, files);
  const { identities, owner } = await testIdentities(store, clock);
  const calls = new LiveCallRegistry(clock);
  /** What the audit log was told. */
  const audited: AuditEvent[] = [];
  const audit = { record: (event: AuditEvent) => void audited.push(event) };
  /** What was ended, in order: ids of tokens and sandboxes, with the reason. */
  const endings: string[] = [];
  const sandboxes = new Sandboxes({
    ...{ store: store.sandboxes, registry, files, agents, audit, clock, logger: silentLogger },
    driver: 'fake',
    busyUids: async () => options.busyUids ?? new Set<number>(),
    ...(options.uidRange && { uidRange: options.uidRange }),
    onEnded: (sandboxId, cause) => {
      access.endSandbox(sandboxId, cause);
      endings.push(`${sandboxId} ${cause.reason}`);
    },
  });
  const access = await Access.open({
    ...{ store, identities, calls, audit, clock, logger: silentLogger },
    origins: () => ({
      publicUrl: 'https://box.example.com',
      appOrigin: APP_ORIGIN,
      allowedOrigins: [APP_ORIGIN],
    }),
    cookiesUnavailable: () => options.cookiesUnavailable,
    requireSandbox: (sandboxId, workspaceId) => sandboxes.requireSandbox(sandboxId, workspaceId),
    onTokenEnded: (tokenId, cause) => endings.push(`${tokenId} ${cause.reason}`),
  });
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= closeAll();
    return closing;
  };
  const closeAll = async () => {
    await sandboxes.close();
    await access.close();
    await store.close();
  };
  onTestFinished(close);
  return {
    ...{ directory, clock, agents, store, files, registry, access, identities },
    ...{ sandboxes, owner, endings, audit, audited, calls, close, signer: identities.signer },
    tokens: access.tokens,
    authentication: access.authentication,
    refresh: access.refresh,
    authenticator: access.bearer,
  };
}

async function testIdentities(store: Store, clock: FakeClock) {
  const draft = { id: 'key1', workspaceId: 'default', hash: hashApiKey(API_KEY) };
  const record = await store.identity.useApiKey(draft, clock.now());
  const installationId = await store.identity.installation(randomUUID(), clock.now());
  if ((await store.identity.signingKeys()).length === 0) {
    await store.identity.addSigningKey(await generateSigningKey(), clock.now());
  }
  const signer = await TokenSigner.open({
    installationId,
    keys: await store.identity.signingKeys(),
  });
  const owner = { workspaceId: record.workspaceId, principalId: record.id };
  const linkSecrets = new LinkSecrets(API_KEY);
  return { identities: { apiKey: new ApiKeyCheck(record), signer, linkSecrets }, owner };
}

/** A request to create a sandbox, with nothing asked for. */
export const PLAIN_SANDBOX = { requestId: '', name: '', namespace: '', metadata: {} };
/** A request to create a session token, with nothing asked for. */
export const PLAIN_TOKEN = { requestId: '', description: '', scopes: [], metadata: {} };
/** A signal that never aborts. */
export const NEVER = new AbortController().signal;
