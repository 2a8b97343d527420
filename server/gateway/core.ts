import { join } from 'node:path';
import type { AuditTrail } from '../core/audit.ts';
import type { Clock } from '../core/clock.ts';
import type { DomainError } from '../core/domain-error.ts';
import { every } from '../core/every.ts';
import type { Logger } from '../core/log.ts';
import { busyUids } from '../driver/busy-uids.ts';
import type { OpenedDriver } from '../driver/open-driver.ts';
import type { Authentication } from './auth/authentication.ts';
import { Authenticator } from './auth/authenticator.ts';
import { CallAuthentication } from './auth/call-authentication.ts';
import { SessionTokens } from './auth/session-tokens.ts';
import { TokenUsage } from './auth/token-usage.ts';
import type { GatewayConfig } from './config.ts';
import type { Identities } from './identities.ts';
import { LiveCallRegistry } from './proxy/live-call-registry.ts';
import { AgentClient } from './rpc/agent-client.ts';
import { Supervisor } from './sandbox/agent-supervisor.ts';
import { SandboxFiles } from './sandbox/sandbox-files.ts';
import { SandboxRegistry } from './sandbox/sandbox-registry.ts';
import { Sandboxes } from './sandbox/sandbox-service.ts';
import type { Store } from './store/store.ts';

/** How often tokens that ended long ago are forgotten, in milliseconds. */
const PURGE_MS = 60_000;

export type CoreOptions = {
  readonly config: GatewayConfig;
  readonly store: Store;
  readonly identities: Identities;
  readonly box: OpenedDriver;
  readonly audit: AuditTrail;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** The gateway without its network side. */
export type Core = {
  readonly sandboxes: Sandboxes;
  readonly tokens: SessionTokens;
  readonly authentication: Authentication;
  readonly calls: LiveCallRegistry;
  /** Finishes what is under way. With `endAgents` every program in every sandbox ends. */
  close(options: { readonly endAgents: boolean }): Promise<void>;
};

/** Wires the domains to each other and reads what the store has. */
export async function openCore(options: CoreOptions): Promise<Core> {
  const { config, store, identities, box, audit, clock, logger } = options;
  const files = new SandboxFiles(join(config.dataDirectory, 'sandboxes'));
  const registry = await SandboxRegistry.open(store.sandboxes, files);
  const calls = new LiveCallRegistry(clock);
  const agents = openSupervisor(options, registry);
  agents.onLost((sandboxId, cause) => calls.endSandbox(sandboxId, cause));
  const usage = new TokenUsage({ store: store.sessionTokens, clock, logger });
  const authenticator = new Authenticator({
    ...{ apiKey: identities.apiKey, signer: identities.signer, usage, logger },
    store: store.sessionTokens,
  });
  const sandboxes = new Sandboxes({
    ...{ store: store.sandboxes, registry, files, agents, audit, clock, logger },
    ...{ driver: box.driver.name, busyUids },
    ...(process.getuid?.() === 0 && { uidRange: config.uidRange }),
    onEnded: (sandboxId, cause) => {
      authenticator.endSandbox(sandboxId, cause);
      calls.endSandbox(sandboxId, cause);
    },
  });
  const tokens = new SessionTokens({
    ...{ store: store.sessionTokens, signer: identities.signer, usage, audit, clock },
    requireSandbox: (sandboxId, workspaceId) => sandboxes.requireSandbox(sandboxId, workspaceId),
    onEnded: (tokenId: string, cause: DomainError) => {
      authenticator.endToken(tokenId, cause);
      calls.endPrincipal(tokenId, cause);
    },
  });
  const purge = every(clock, PURGE_MS, () => purgeTokens(tokens, logger));
  sandboxes.recover();
  return {
    ...{ sandboxes, tokens, calls },
    authentication: new CallAuthentication({ bearer: authenticator }),
    close: async (how) => {
      purge.clear();
      await sandboxes.close();
      await agents.close(how);
      await usage.flush();
    },
  };
}

function openSupervisor(options: CoreOptions, registry: SandboxRegistry): Supervisor {
  const { config, box, clock, logger } = options;
  return new Supervisor({
    ...{ records: registry, driver: box.driver, egress: box.egress, clock, logger },
    control: new AgentClient(clock),
    graceMs: config.agentGraceMs,
    agentLogLevel: config.logLevel,
  });
}

async function purgeTokens(tokens: SessionTokens, logger: Logger): Promise<void> {
  try {
    await tokens.purge();
  } catch (error) {
    logger.error('cannot forget ended session tokens', { error });
  }
}
