import {
  type Sandbox as SandboxRecord,
  SandboxStatus as WireSandboxStatus,
} from '../gen/computesdk/v1/sandbox_pb.ts';
import { SandboxError } from './errors.ts';
import type { Gateway } from './gateway.ts';
import { MagicLinks } from './magic-links.ts';
import { type PreviewHost, type Previews, previewSettingsOf } from './preview-settings.ts';
import { Sandbox } from './sandbox.ts';
import { SessionTokens } from './session-tokens.ts';
import type { SignalOption } from './signal-option.ts';
import { toDate, toDuration } from './values.ts';

/** The state of a sandbox. `failed`: it died five times in a minute and is not started again. */
export type SandboxStatus = 'running' | 'failed' | 'destroyed';

/** By how much to extend a sandbox's life. */
export interface ExtendTimeoutOptions extends SignalOption {
  /** From now on, in milliseconds, up to 30 days. Default: 15 minutes. */
  readonly durationMs?: number | undefined;
}

/**
 * A sandbox, as its owner sees it: everything that a client can do with it, and who else may. Its
 * connection is made when a terminal is used first.
 */
export class ManagedSandbox extends Sandbox {
  /** Names the sandbox. */
  readonly id: string;
  /** The name that `find` and `findOrCreate` look for. Empty for an unnamed sandbox. */
  readonly name: string;
  /** The namespace of the name. */
  readonly namespace: string;
  /** Free-form text of the owner. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly createdAt: Date;
  /** Who may see what its ports serve. */
  readonly previews: Previews;
  /** Which `Host` and `Origin` the programs get that serve them. */
  readonly previewHost: PreviewHost;
  /** Delegated access to this sandbox: credentials that a front end sends. */
  readonly sessionToken: SessionTokens;
  /** Delegated access to this sandbox: one-time addresses that sign a browser in. */
  readonly magicLink: MagicLinks;
  readonly #gateway: Gateway;
  #status: SandboxStatus;
  #expiresAt: Date;

  /** @internal */
  constructor(gateway: Gateway, record: SandboxRecord) {
    super(gateway.sandboxParts(record.url));
    this.#gateway = gateway;
    this.id = record.id;
    this.name = record.name;
    this.namespace = record.namespace;
    this.metadata = record.metadata;
    this.createdAt = toDate(record.createdAt);
    const { previews, previewHost } = previewSettingsOf(record);
    this.previews = previews;
    this.previewHost = previewHost;
    this.sessionToken = new SessionTokens(gateway, record.id);
    this.magicLink = new MagicLinks(gateway, record.id);
    this.#status = toStatus(record.status);
    this.#expiresAt = toDate(record.expiresAt);
    this.assumeConnected();
  }

  /** The state when this object was made, or when it last changed it. */
  get status(): SandboxStatus {
    return this.#status;
  }

  /** When the sandbox is destroyed by itself. */
  get expiresAt(): Date {
    return this.#expiresAt;
  }

  /** Ends everything in the sandbox and deletes its files. Idempotent. */
  async destroy(options: SignalOption = {}): Promise<void> {
    await destroySandbox(this.#gateway, this.id, options);
    this.#status = 'destroyed';
    await this.disconnect();
  }

  /**
   * Moves the end of the sandbox's life to now plus `durationMs`, if that is later than it is.
   *
   * @throws SandboxError `invalid_argument` (`durationMs`), `not_found`.
   */
  async extendTimeout(options: ExtendTimeoutOptions = {}): Promise<void> {
    const record = await extendSandbox(this.#gateway, this.id, options);
    this.#expiresAt = toDate(record.expiresAt);
  }
}

/** Destroys a sandbox by its id. */
export async function destroySandbox(
  gateway: Gateway,
  sandboxId: string,
  options: SignalOption,
): Promise<void> {
  await gateway.call(
    (signal) => gateway.sandboxes.destroySandbox({ sandboxId }, { signal }),
    options,
  );
}

/** Extends a sandbox by its id and returns its record. */
export async function extendSandbox(
  gateway: Gateway,
  sandboxId: string,
  { durationMs, signal }: ExtendTimeoutOptions,
): Promise<SandboxRecord> {
  const request = {
    sandboxId,
    ...(durationMs !== undefined && {
      duration: toDuration('durationMs', durationMs, 'milliseconds'),
    }),
  };
  const { sandbox } = await gateway.call(
    (attempt) => gateway.sandboxes.extendSandboxTimeout(request, { signal: attempt }),
    { signal },
  );
  if (!sandbox) throw emptyAnswer();
  return sandbox;
}

/** The error for an answer that lacks what it is about. */
export function emptyAnswer(): SandboxError {
  return new SandboxError('internal', 'the gateway answered without a sandbox');
}

function toStatus(status: WireSandboxStatus): SandboxStatus {
  switch (status) {
    case WireSandboxStatus.FAILED:
      return 'failed';
    case WireSandboxStatus.DESTROYED:
      return 'destroyed';
    default:
      return 'running';
  }
}
