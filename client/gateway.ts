import type { Client } from '@connectrpc/connect';
import { MagicLinkService } from '../gen/computesdk/v1/magic_link_service_pb.ts';
import { SandboxService } from '../gen/computesdk/v1/sandbox_service_pb.ts';
import { SessionTokenService } from '../gen/computesdk/v1/session_token_service_pb.ts';
import { type Clock, systemClock } from './connection/clock.ts';
import { FIRST_CONTACT_LIMIT_MS } from './connection/connection.ts';
import { apiKeyCredential, type Credential } from './connection/credential.ts';
import { newClient } from './connection/new-client.ts';
import { retry } from './connection/retry.ts';
import { httpTransport, type TransportFactory } from './connection/transport.ts';
import { SandboxError } from './errors.ts';
import type { SandboxParts } from './sandbox.ts';
import type { SignalOption } from './signal-option.ts';
import { toBaseUrl } from './values.ts';

/** What a gateway's client is made of; a test puts its own in. */
export type GatewayParts = {
  readonly gatewayUrl: string;
  readonly apiKey: string;
  readonly transport?: TransportFactory;
  readonly clock?: Clock;
};

/** The control plane of one gateway, as the holder of an API key sees it. */
export class Gateway {
  readonly url: string;
  readonly sandboxes: Client<typeof SandboxService>;
  readonly sessionTokens: Client<typeof SessionTokenService>;
  readonly magicLinks: Client<typeof MagicLinkService>;
  readonly #parts: GatewayParts;
  readonly #credential: Credential;
  readonly #clock: Clock;
  /** Whether it ever answered: an address that never did may be wrong, so failing comes sooner. */
  #wasReached = false;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? systemClock;
    this.#credential = apiKeyCredential(parts.apiKey);
    this.url = toBaseUrl('gatewayUrl', parts.gatewayUrl);
    const transport = (parts.transport ?? httpTransport)(this.url, this.#credential);
    this.sandboxes = newClient(SandboxService, transport);
    this.sessionTokens = newClient(SessionTokenService, transport);
    this.magicLinks = newClient(MagicLinkService, transport);
  }

  /** Makes a call that is safe to repeat, for up to 30 seconds. */
  async call<T>(
    operation: (signal: AbortSignal) => Promise<T>,
    { signal }: SignalOption = {},
  ): Promise<T> {
    // An answer may be slow also the first time.
    const patienceMs = this.#wasReached ? Infinity : FIRST_CONTACT_LIMIT_MS;
    try {
      const result = await retry(operation, this.#clock, { signal, patienceMs });
      this.#wasReached = true;
      return result;
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** What a sandbox of this gateway is reached with. */
  sandboxParts(url: string): SandboxParts {
    const { transport, clock } = this.#parts;
    return {
      url,
      credential: this.#credential,
      ...(transport && { transport }),
      ...(clock && { clock }),
    };
  }

  /** Names the setting that is most likely wrong. */
  #explain(error: unknown): unknown {
    if (!(error instanceof SandboxError)) return error;
    if (error.code === 'unauthenticated') {
      const message = `${error.message}; is COMPUTESDK_API_KEY the key of ${this.url}?`;
      return new SandboxError('unauthenticated', message, { field: 'apiKey', cause: error });
    }
    if (error.code === 'unreachable' || error.code === 'unimplemented') {
      const message = `${error.message}; is COMPUTESDK_GATEWAY_URL=${this.url} a running gateway?`;
      return new SandboxError(error.code, message, { field: 'gatewayUrl', cause: error });
    }
    return error;
  }
}
