import { join } from 'node:path';
import type { AuditTrail } from '../core/audit.ts';
import type { Clock } from '../core/clock.ts';
import { every } from '../core/every.ts';
import type { Logger } from '../core/log.ts';
import { busyUids } from '../driver/busy-uids.ts';
import type { OpenedDriver } from '../driver/open-driver.ts';
import { Access } from './access.ts';
import type { RedirectOrigins } from './auth/redirect-url.ts';
import type { GatewayConfig } from './config.ts';
import type { Identities } from './identities.ts';
import { LiveCallRegistry } from './proxy/live-call-registry.ts';
import { AgentClient } from './rpc/agent-client.ts';
import { Supervisor } from './sandbox/agent-supervisor.ts';
import { SandboxFiles } from './sandbox/sandbox-files.ts';
import { SandboxRegistry } from './sandbox/sandbox-registry.ts';
import { Sandboxes } from './sandbox/sandbox-service.ts';
import type { Store } from './store/store.ts';

/** How often what ended long ago is forgotten, in milliseconds. */
const PURGE_MS = 60_000;

export type CoreOptions = {
  readonly config: GatewayConfig;
  readonly store: Store;
  readonly identities: Identities;
  readonly box: OpenedDriver;
  readonly audit: AuditTrail;
  /** Where magic links may lead; known once the gateway listens. */
  readonly origins: () => RedirectOrigins;
  /** Why browsers would not keep our cookie. Undefined: they do. */
  readonly cookiesUnavailable: () => string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** The gateway without its network side. */
export type Core = {
  readonly sandboxes: Sandboxes;
  readonly access: Access;
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
  const sandboxes = new Sandboxes({
    ...{ store: store.sandboxes, registry, files, agents, audit, clock, logger },
    ...{ driver: box.driver.name, busyUids },
    ...(process.getuid?.() === 0 && { uidRange: config.uidRange }),
    onEnded: (sandboxId, cause) => access.endSandbox(sandboxId, cause),
  });
  const { origins, cookiesUnavailable } = options;
  const access = await Access.open({
    ...{ store, identities, calls, audit, clock, logger, origins, cookiesUnavailable },
    requireSandbox: (sandboxId, workspaceId) => sandboxes.requireSandbox(sandboxId, workspaceId),
  });
  const purge = every(clock, PURGE_MS, () => access.purge());
  sandboxes.recover();
  return {
    ...{ sandboxes, access, calls },
    close: async (how) => {
      purge.clear();
      await sandboxes.close();
      await agents.close(how);
      await access.close();
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
