import { chmod, mkdir, readFile } from 'node:fs/promises';
import { type Clock, systemClock } from '../core/clock.ts';
import { DomainError } from '../core/domain-error.ts';
import type { Logger } from '../core/log.ts';
import { type OpenedDriver, openDriver } from '../driver/open-driver.ts';
import {
  type Addresses,
  isLoopbackOnly,
  isTrustworthyName,
  resolveAddresses,
} from './addresses.ts';
import { AuditLog } from './audit/audit-log.ts';
import type { LoadedApiKey } from './auth/api-key.ts';
import type { GatewayConfig } from './config.ts';
import { type Core, openCore } from './core.ts';
import { createFront, type Front } from './front.ts';
import { answerError } from './http/answers.ts';
import { ClientAddresses } from './http/client-address.ts';
import { createListener } from './http/listener.ts';
import { readWebFiles, webDirectory } from './http/web-files.ts';
import { openIdentities } from './identities.ts';
import { createStartLink } from './start-link.ts';
import { Store } from './store/store.ts';

/** How long the trial of a driver may take, in milliseconds. */
const DRIVER_TRIAL_MS = 60_000;

/** What a gateway needs from its host. */
export type GatewayDependencies = {
  readonly logger: Logger;
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** Opens the driver that boxes sandboxes. Default: as the settings say. */
  readonly openDriver?: typeof openDriver;
};

/** A gateway that serves. */
export type Gateway = {
  /** Its canonical address. */
  readonly url: string;
  /** The API key that it keeps for its owner. Absent when the settings gave one. */
  readonly apiKey?: LoadedApiKey;
  /** Whether only this machine can reach it, as far as its settings tell. */
  readonly isLoopbackOnly: boolean;
  /**
   * A one-time address that opens a terminal in a browser: the workspace of a sandbox named `start`,
   * which is made if there is none. A secret. Throws FAILED_PRECONDITION where browsers keep no cookie.
   */
  createStartLink(): Promise<string>;
  /** Resolves when the gateway cannot go on, because its database died. */
  readonly failed: Promise<Error>;
  /**
   * Stops serving. With `endAgents` every program in every sandbox ends; without, they live on for
   * the next gateway to find. Idempotent.
   */
  close(options: { readonly endAgents: boolean }): Promise<void>;
};

/** Starts a gateway. Resolves when it serves. Throws BAD_SETTING, DRIVER_UNAVAILABLE or FAILED_PRECONDITION. */
export async function startGateway(
  config: GatewayConfig,
  dependencies: GatewayDependencies,
): Promise<Gateway> {
  const { logger, clock = systemClock } = dependencies;
  const tls = await readTls(config);
  // Closed in reverse order, also when the start fails half way.
  await using opened = new AsyncDisposableStack();
  const how = { endAgents: false };
  await prepareDirectory(config.dataDirectory);
  const store = opened.adopt(await Store.open(config.dataDirectory), (it) => it.close());
  const identities = await openIdentities(store.identity, config, clock);
  const box = opened.adopt(await openBox(config, dependencies), (it) => it.driver.close());
  // The port, and so the addresses, are known once the gateway listens; nobody calls before.
  let addresses: Addresses | undefined;
  const known = () => addresses ?? resolveAddresses(config, config.port);
  const audit = opened.adopt(
    await AuditLog.open({ directory: config.dataDirectory, clock, logger }),
    (it) => it.close(),
  );
  const coreOptions = {
    ...{ config, store, identities, box, audit, clock, logger },
    origins: known,
    cookiesUnavailable: () => cookiesUnavailable(known().publicUrl, box.driver, config),
  };
  const core = opened.adopt(await openCore(coreOptions), (it) => it.close(how));
  let serving: Pick<Front, 'handler' | 'upgrade'> = refusing;
  const entrance: Pick<Front, 'handler' | 'upgrade'> = {
    handler: (request, response) => serving.handler(request, response),
    upgrade: (...upgrade) => serving.upgrade(...upgrade),
  };
  const { hosts, port } = config;
  const clients = new ClientAddresses(config.trustedProxies);
  const isTrustedProxy = (address: string) => clients.isTrusted(address);
  const listenerOptions = { hosts, port, ...entrance, isTrustedProxy };
  const listening = createListener({ ...listenerOptions, ...(tls && { tls }) });
  const listener = opened.adopt(await listening, (it) => it.close());
  addresses = resolveAddresses(config, listener.port);
  const stopping = new AbortController();
  const front = createFront({
    ...{ ...core, addresses, audit, clock, logger, stopping: stopping.signal },
    clients,
    publicKeys: () => identities.signer.publicKeys(),
    webFiles: await readWebFiles(webDirectory()),
    previewsUnavailable: previewsUnavailable(box.driver, config),
  });
  opened.defer(() => front.close());
  if (front.previewProblem !== undefined) logger.warn(front.previewProblem);
  opened.defer(() => stop(core, stopping));
  serving = front;
  const { publicUrl } = addresses;
  logger.info('gateway ready', {
    url: publicUrl,
    port: listener.port,
    driver: box.driver.name,
    egress: box.egress,
  });
  const resources = opened.move();
  let closing: Promise<void> | undefined;
  return {
    url: publicUrl,
    isLoopbackOnly: isLoopbackOnly(config),
    ...(identities.keptApiKey && { apiKey: identities.keptApiKey }),
    createStartLink: () => createStartLink({ core, store: store.identity, publicUrl, clock }),
    failed: store.failed,
    close: ({ endAgents }) => {
      how.endAgents ||= endAgents;
      closing ??= resources.disposeAsync();
      return closing;
    },
  };
}

/** Why browsers would not keep our cookie, or must not have one. */
function cookiesUnavailable(
  publicUrl: string,
  driver: OpenedDriver['driver'],
  { unsafe }: GatewayConfig,
): string | undefined {
  if (!driver.isolated && !unsafe) {
    return `magic links need a driver that isolates sandboxes, since with ${driver.name} the code in one could use the cookies of all: use COMPUTESDK_DRIVER=bubblewrap, or allow it with COMPUTESDK_UNSAFE=1`;
  }
  const { protocol, hostname } = new URL(publicUrl);
  if (protocol === 'https:' || isTrustworthyName(hostname)) return undefined;
  return `magic links need HTTPS: browsers keep no secure cookie for ${publicUrl}. Set COMPUTESDK_TLS_CERT and COMPUTESDK_TLS_KEY, or put a TLS proxy in front, and set COMPUTESDK_PUBLIC_URL to the https address`;
}

/** Why what a sandbox serves must not be shown in browsers. */
function previewsUnavailable(
  driver: OpenedDriver['driver'],
  { unsafe }: GatewayConfig,
): string | undefined {
  if (driver.isolated || unsafe) return undefined;
  return `previews need a driver that isolates sandboxes, since with ${driver.name} every port of this machine would be one: use COMPUTESDK_DRIVER=bubblewrap, or allow it with COMPUTESDK_UNSAFE=1`;
}

function stop(core: Core, stopping: AbortController): void {
  const cause = new DomainError('SHUTTING_DOWN', 'the gateway is shutting down');
  stopping.abort(cause);
  core.calls.endAll(cause);
}

/** What serves until everything is ready. */
const refusing: Pick<Front, 'handler' | 'upgrade'> = {
  handler: (request, response) => {
    const cause = new DomainError('SHUTTING_DOWN', 'the gateway is not ready yet');
    answerError(request, response, cause);
  },
  upgrade: (_request, socket) => socket.destroy(),
};

async function prepareDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chmod(directory, 0o700);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new DomainError('BAD_SETTING', `COMPUTESDK_DATA_DIR: cannot be used: ${problem}`, {
      cause: error,
    });
  }
}

async function openBox(
  config: GatewayConfig,
  dependencies: GatewayDependencies,
): Promise<OpenedDriver> {
  const open = dependencies.openDriver ?? openDriver;
  const { driver: name, egress } = config;
  const options = { logger: dependencies.logger, ...(name && { name }), ...(egress && { egress }) };
  const box = await open(options, AbortSignal.timeout(DRIVER_TRIAL_MS));
  if (box.driver.isolated || config.unsafe || isLoopbackOnly(config)) return box;
  box.driver.close();
  throw new DomainError(
    'BAD_SETTING',
    `HOST, COMPUTESDK_PUBLIC_URL: the ${box.driver.name} driver gives no isolation and serves loopback only; use COMPUTESDK_DRIVER=bubblewrap, or allow it with COMPUTESDK_UNSAFE=1`,
  );
}

async function readTls(
  config: GatewayConfig,
): Promise<{ certificate: Buffer; key: Buffer } | undefined> {
  if (!config.tls) return undefined;
  const [certificate, key] = await Promise.all([
    readSettingFile('COMPUTESDK_TLS_CERT', config.tls.certificateFile),
    readSettingFile('COMPUTESDK_TLS_KEY', config.tls.keyFile),
  ]);
  return { certificate, key };
}

async function readSettingFile(name: string, file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new DomainError('BAD_SETTING', `${name}: cannot be read: ${problem}`, { cause: error });
  }
}
