import type { Sandbox as SandboxRecord } from '../gen/computesdk/v1/sandbox_pb.ts';
import { newRequestId } from './connection/request-id.ts';
import { invalidArgument } from './errors.ts';
import type { Gateway } from './gateway.ts';
import {
  destroySandbox,
  type ExtendTimeoutOptions,
  emptyAnswer,
  extendSandbox,
  ManagedSandbox,
} from './managed-sandbox.ts';
import { collectPages, followPages } from './pages.ts';
import { type PreviewHost, type Previews, toPreviewSettings } from './preview-settings.ts';
import type { SignalOption } from './signal-option.ts';
import { toDuration } from './values.ts';

/** Describes the sandbox to create. */
export interface SandboxCreateOptions extends SignalOption {
  /** A name to find it by, up to 128 characters. Default: unnamed. */
  readonly name?: string | undefined;
  /** The namespace of the name, up to 128 characters. Default: `default`. */
  readonly namespace?: string | undefined;
  /** Free-form text: up to 64 entries. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** How long it lives, in milliseconds, 1 second to 30 days. Default: 24 hours. */
  readonly timeoutMs?: number | undefined;
  /**
   * Who may see what its ports serve: browsers that opened an address of `getUrl`, or whoever knows
   * the address. For some ports one by one: `{ 3000: 'public' }`, up to 64; others are private then.
   * Default: `private`.
   */
  readonly previews?: Previews | undefined;
  /**
   * Which `Host` and `Origin` the programs get that serve them: `localhost`, as dev servers expect, or
   * `preserved`, for apps that make addresses of what they get. Default: `localhost`.
   */
  readonly previewHost?: PreviewHost | undefined;
}

/** Names the sandbox to find, and describes it in case it must be created. */
export interface SandboxFindOrCreateOptions extends SandboxCreateOptions {
  /** The name, 1 to 128 characters. */
  readonly name: string;
}

/** Names the sandbox to find. */
export interface SandboxFindOptions extends SignalOption {
  /** The name, 1 to 128 characters. */
  readonly name: string;
  /** The namespace of the name. Default: `default`. */
  readonly namespace?: string | undefined;
}

/** Selects sandboxes. */
export interface SandboxListOptions extends SignalOption {
  /** Only those of this namespace. Default: all of the workspace. */
  readonly namespace?: string | undefined;
  /** How many a request asks for, 1 to 500. Default: 100. */
  readonly pageSize?: number | undefined;
}

/** The sandboxes of the API key's workspace. */
export class ManagedSandboxes {
  readonly #gateway: () => Gateway;

  /** @internal */
  constructor(gateway: () => Gateway) {
    this.#gateway = gateway;
  }

  /**
   * Creates a sandbox. Resolves when it answers calls. Retried under the hood for up to 30
   * seconds, it never makes a second one.
   *
   * @throws SandboxError `invalid_argument` (`field` names the option, or `apiKey`),
   * `already_exists` (the name), `limit_reached`, `unauthenticated` (the API key), `unreachable`
   * (the gateway), `canceled`.
   *
   * @example
   * const sandbox = await compute.sandbox.create({ timeoutMs: 3_600_000 });
   */
  async create(options: SandboxCreateOptions = {}): Promise<ManagedSandbox> {
    const gateway = this.#gateway();
    const request = toRequest(options);
    const { sandbox } = await gateway.call(
      (signal) => gateway.sandboxes.createSandbox(request, { signal }),
      options,
    );
    return toManaged(gateway, sandbox);
  }

  /**
   * The live sandbox with this namespace and name, created if there is none. Any number of calls
   * at once agree on one. The options are ignored when it exists.
   *
   * @example
   * const sandbox = await compute.sandbox.findOrCreate({ name: 'ide', namespace: `user-${id}` });
   */
  async findOrCreate(options: SandboxFindOrCreateOptions): Promise<ManagedSandbox> {
    const gateway = this.#gateway();
    const request = toRequest(options);
    const { sandbox } = await gateway.call(
      (signal) => gateway.sandboxes.findOrCreateSandbox(request, { signal }),
      options,
    );
    return toManaged(gateway, sandbox);
  }

  /** The live sandbox with this namespace and name, or `null`. */
  async find(options: SandboxFindOptions): Promise<ManagedSandbox | null> {
    const gateway = this.#gateway();
    const request = { name: options.name, namespace: options.namespace ?? '' };
    const { sandbox } = await gateway.call(
      (signal) => gateway.sandboxes.findSandbox(request, { signal }),
      options,
    );
    return sandbox ? new ManagedSandbox(gateway, sandbox) : null;
  }

  /** A live sandbox by its id. @throws SandboxError `not_found`. */
  async getById(id: string, options: SignalOption = {}): Promise<ManagedSandbox> {
    const gateway = this.#gateway();
    const { sandbox } = await gateway.call(
      (signal) => gateway.sandboxes.getSandbox({ sandboxId: id }, { signal }),
      options,
    );
    return toManaged(gateway, sandbox);
  }

  /** All live sandboxes, oldest first. */
  list(options: SandboxListOptions = {}): Promise<ManagedSandbox[]> {
    return collectPages(this.pages(options));
  }

  /** The same as {@link ManagedSandboxes.list}, page by page. */
  pages(options: SandboxListOptions = {}): AsyncIterable<readonly ManagedSandbox[]> {
    const { namespace = '', pageSize = 0 } = options;
    return followPages(async (pageToken) => {
      const gateway = this.#gateway();
      const { sandboxes, nextPageToken } = await gateway.call(
        (signal) => gateway.sandboxes.listSandboxes({ namespace, pageSize, pageToken }, { signal }),
        options,
      );
      const items = sandboxes.map((record) => new ManagedSandbox(gateway, record));
      return { items, nextPageToken };
    });
  }

  /** Ends everything in a sandbox and deletes its files. Idempotent. */
  async destroy(id: string, options: SignalOption = {}): Promise<void> {
    await destroySandbox(this.#gateway(), id, options);
  }

  /**
   * Moves the end of a sandbox's life to now plus `durationMs` (default: 15 minutes), if that is
   * later than it is. Returns the sandbox. @throws SandboxError `not_found`.
   */
  async extendTimeout(id: string, options: ExtendTimeoutOptions = {}): Promise<ManagedSandbox> {
    const gateway = this.#gateway();
    return new ManagedSandbox(gateway, await extendSandbox(gateway, id, options));
  }
}

function toRequest(options: SandboxCreateOptions) {
  const { name = '', namespace = '', metadata = {}, timeoutMs } = options;
  return {
    requestId: newRequestId(),
    name: toText('name', name),
    namespace: toText('namespace', namespace),
    metadata: { ...metadata },
    ...toPreviewSettings(options),
    ...(timeoutMs !== undefined && {
      timeout: toDuration('timeoutMs', timeoutMs, 'milliseconds'),
    }),
  };
}

/** Untyped callers pass what a request's body held. */
function toText(field: string, value: unknown): string {
  if (typeof value !== 'string') throw invalidArgument(field, 'must be a string');
  return value;
}

function toManaged(gateway: Gateway, record: SandboxRecord | undefined): ManagedSandbox {
  if (!record) throw emptyAnswer();
  return new ManagedSandbox(gateway, record);
}
