import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Client } from '@connectrpc/connect';
import type { AuthService } from '../../gen/computesdk/v1/auth_service_pb.ts';
import { isCredentialRefusal, type SandboxError, toSandboxError } from '../errors.ts';
import type { Clock } from './clock.ts';
import { bearer, type Credential, TokenCredential } from './credential.ts';
import { ExpiryWatch } from './expiry-watch.ts';
import { askOnce, reach } from './reach.ts';
import type { TokenFunction } from './token-function.ts';
import { TokenRenewal } from './token-renewal.ts';

/** What access is made of. */
export type AccessParts = {
  readonly auth: Client<typeof AuthService>;
  readonly credential: Credential;
  /** Gives the tokens that follow the credential, which is a token then. */
  readonly giveToken?: TokenFunction | undefined;
  readonly clock: Clock;
  /** The way to the gateway may be dead: the next call takes another one. */
  readonly onSuspect: () => void;
  /** The credential ends soon and there is nobody to ask for another. */
  readonly onExpiring: (expiresAt: Date) => void;
};

/** What access needs of the connection that uses it. */
export interface AccessUser {
  /** Fires when the connection is over for good. */
  readonly closed: AbortSignal;
  /** Waits until the gateway can be reached. */
  enter(signal: AbortSignal): Promise<unknown>;
  /** The way to the gateway is of no use just now. */
  lose(): void;
  close(reason: SandboxError['code'], cause: SandboxError): void;
}

/** How long the gateway's answer to one attempt at a refresh is waited for. */
const REFRESH_LIMIT_MS = 10_000;

/** The credential of one sandbox over time: whether it is good, when it ends, and what follows it. */
export class Access {
  readonly #auth: Client<typeof AuthService>;
  readonly #parts: AccessParts;
  readonly #expiry: ExpiryWatch;
  #renewal: TokenRenewal | undefined;
  #isClosed = false;
  #replacing = new AbortController();

  constructor(parts: AccessParts) {
    this.#parts = parts;
    this.#auth = parts.auth;
    this.#expiry = new ExpiryWatch(parts.clock, (expiresAtMs) => {
      if (this.#renewal) void this.#renewal.beforeExpiry();
      else parts.onExpiring(new Date(expiresAtMs));
    });
  }

  /** Fires when another credential takes the place of that of now. Every credential has its own. */
  get replaced(): AbortSignal {
    return this.#replacing.signal;
  }

  /** Told once, before anything else. */
  serve(user: AccessUser): void {
    const { credential, giveToken, clock } = this.#parts;
    if (!giveToken || !(credential instanceof TokenCredential)) return;
    this.#renewal = new TokenRenewal({
      ...{ credential, giveToken, clock, closed: user.closed },
      takeOver: (token, signal) => this.#takeOver(token, credential.token, signal),
      onRenewed: (expiresAtMs) => this.#onRenewed(expiresAtMs),
      untilConnected: (signal) => user.enter(signal),
      onStruggle: () => user.lose(),
      onEnded: (failure) => user.close(failure.code, failure),
    });
  }

  /** Verifies the credential. */
  async probe(signal: AbortSignal): Promise<void> {
    const { replaced } = this;
    const { expiresAt } = await this.#auth.whoAmI({}, { signal });
    if (!replaced.aborted) this.#expiry.watch(expiresAt && timestampMs(expiresAt));
  }

  /** Reaches the gateway, with another credential if that of now is refused. */
  async reach(signal: AbortSignal): Promise<void> {
    for (;;) {
      const { replaced } = this;
      try {
        await reach((attempt) => this.#probeAnew(attempt), this.#parts.clock, signal);
        return;
      } catch (error) {
        const failure = toSandboxError(error);
        if (!(await this.recover(failure, replaced))) throw failure;
      }
    }
  }

  #probeAnew(signal: AbortSignal): Promise<void> {
    this.#parts.onSuspect();
    return this.probe(signal);
  }

  /**
   * A call failed that was made with the credential that `replaced` belongs to. Resolves with
   * whether it was the credential's fault and there is another to try again with. Never rejects.
   */
  async recover(failure: SandboxError, replaced: AbortSignal): Promise<boolean> {
    if (!isCredentialRefusal(failure) || this.#isClosed) return false;
    return replaced.aborted || ((await this.#renewal?.afterRefusal(failure)) ?? false);
  }

  close(): void {
    this.#isClosed = true;
    this.#expiry.stop();
  }

  async #takeOver(
    token: string,
    previousToken: string,
    closed: AbortSignal,
  ): Promise<number | undefined> {
    const refresh = (signal: AbortSignal) =>
      this.#auth.refreshCredential({ previousToken }, { signal, headers: bearer(token) });
    const { expiresAt } = await askOnce(refresh, REFRESH_LIMIT_MS, this.#parts.clock, closed);
    return expiresAt && timestampMs(expiresAt);
  }

  #onRenewed(expiresAtMs: number | undefined): void {
    const before = this.#replacing;
    this.#replacing = new AbortController();
    this.#expiry.watch(expiresAtMs);
    before.abort();
  }
}
