import type { Clock } from '../core/clock.ts';
import type { IdentityStore } from './auth/identity.ts';
import type { Core } from './core.ts';
import { MAGIC_PREFIX } from './http/magic-page.ts';
import { WORKSPACE_PATH } from './http/workspace-page.ts';

/** What a start's link opens belongs to no API key, so that no backend finds a sandbox that it did not make. */
const START_WORKSPACE = 'start';
const START_SANDBOX = 'start';
/** Who makes it, in the audit log. */
const OWNER = { workspaceId: START_WORKSPACE, principalId: 'system' };

export type StartLinkOptions = {
  readonly core: Pick<Core, 'sandboxes' | 'access'>;
  readonly store: Pick<IdentityStore, 'addWorkspace'>;
  readonly publicUrl: string;
  readonly clock: Clock;
};

/**
 * Makes a magic link to the workspace page of a sandbox that is there to try things out. Its programs
 * start when the page does.
 */
export async function createStartLink(options: StartLinkOptions): Promise<string> {
  const { core, store, publicUrl, clock } = options;
  await store.addWorkspace(START_WORKSPACE, clock.now());
  const sandbox = await core.sandboxes.findOrReserve(OWNER, {
    ...{ requestId: '', name: START_SANDBOX, namespace: '', metadata: {} },
  });
  const { secret } = await core.access.links.create(OWNER, {
    ...{ requestId: '', description: '', sandboxId: sandbox.id, scopes: [] },
    redirectUrl: `${publicUrl}${WORKSPACE_PATH}`,
  });
  return `${publicUrl}${MAGIC_PREFIX}${secret}`;
}
