import { invalidArgument } from './errors.ts';
import { Gateway } from './gateway.ts';
import { ManagedSandboxes } from './managed-sandboxes.ts';

export * from './index.ts';
export {
  type CreatedMagicLink,
  type MagicLink,
  type MagicLinkCreateOptions,
  type MagicLinkListOptions,
  MagicLinks,
} from './magic-links.ts';
export {
  type ExtendTimeoutOptions,
  ManagedSandbox,
  type SandboxStatus,
} from './managed-sandbox.ts';
export {
  ManagedSandboxes,
  type SandboxCreateOptions,
  type SandboxFindOptions,
  type SandboxFindOrCreateOptions,
  type SandboxListOptions,
} from './managed-sandboxes.ts';
export {
  type CreatedSessionToken,
  type Scope,
  type SessionToken,
  type SessionTokenCreateOptions,
  type SessionTokenKind,
  type SessionTokenListOptions,
  SessionTokens,
} from './session-tokens.ts';

/** Which gateway to talk to, and as whom. */
export interface ComputeConfig {
  /** The workspace's API key. Default: the environment's `COMPUTESDK_API_KEY`. */
  readonly apiKey?: string | undefined;
  /** Default: the environment's `COMPUTESDK_GATEWAY_URL`, else `http://localhost:4000`. */
  readonly gatewayUrl?: string | undefined;
}

/** What a configuration opens. */
export interface ConfiguredCompute {
  /** The sandboxes of the API key's workspace. */
  readonly sandbox: ManagedSandboxes;
}

/** The entry of the backend SDK. */
export interface Compute extends ConfiguredCompute {
  /** The same with a configuration of its own, beside the global one. */
  (config: ComputeConfig): ConfiguredCompute;
  /** Sets the global configuration; what is absent comes from the environment. */
  setConfig(config: ComputeConfig): void;
}

const DEFAULT_GATEWAY_URL = 'http://localhost:4000';

let globalConfig: ComputeConfig = {};

/**
 * Creates sandboxes and delegates access to them. For backends: it holds the API key, which must
 * never reach a browser.
 *
 * @example
 * import { compute } from 'computesdk';
 *
 * const sandbox = await compute.sandbox.create();
 * const session = await sandbox.sessionToken.create({ expiresIn: 86400 });
 *
 * @example
 * const staging = compute({ apiKey, gatewayUrl: 'https://staging.example.com' });
 * const sandbox = await staging.sandbox.findOrCreate({ name: 'ide', namespace: 'team-1' });
 */
export const compute: Compute = Object.assign(
  (config: ComputeConfig): ConfiguredCompute => configure(() => config),
  {
    ...configure(() => globalConfig),
    setConfig(config: ComputeConfig): void {
      globalConfig = { ...config };
    },
  },
);

function configure(config: () => ComputeConfig): ConfiguredCompute {
  let known:
    | { readonly gateway: Gateway; readonly apiKey: string; readonly url: string }
    | undefined;
  return {
    sandbox: new ManagedSandboxes(() => {
      const { apiKey, gatewayUrl: url } = resolve(config());
      if (known?.apiKey !== apiKey || known.url !== url) {
        known = { gateway: new Gateway({ apiKey, gatewayUrl: url }), apiKey, url };
      }
      return known.gateway;
    }),
  };
}

function resolve(config: ComputeConfig): { apiKey: string; gatewayUrl: string } {
  const environment = readEnvironment();
  const apiKey = config.apiKey ?? environment['COMPUTESDK_API_KEY'];
  const gatewayUrl = config.gatewayUrl ?? environment['COMPUTESDK_GATEWAY_URL'];
  if (!apiKey) {
    const remedy = 'set COMPUTESDK_API_KEY, or call compute.setConfig({ apiKey })';
    throw invalidArgument('apiKey', `missing: ${remedy}`);
  }
  return { apiKey, gatewayUrl: gatewayUrl || DEFAULT_GATEWAY_URL };
}

/** Empty where there is no environment: a bundler for browsers may have pulled this file in. */
function readEnvironment(): Readonly<Record<string, string | undefined>> {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env ?? {};
}
