import type { AuditActor, AuditClient, AuditTrail } from '../../core/audit.ts';
import { checkPage, pageTokenAfter } from '../../core/bounds.ts';
import type { Clock } from '../../core/clock.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { newId } from '../../core/id.ts';
import type { Logger } from '../../core/log.ts';
import type { AgentEndpoint, AgentSupervisor } from './agents.ts';
import { MAX_SANDBOXES, sandboxOf } from './insertion.ts';
import {
  type Insertion,
  isPublicPort,
  type PreviewHost,
  type Sandbox,
  type SandboxStore,
} from './sandbox.ts';
import { SandboxEnding } from './sandbox-ending.ts';
import type { SandboxFiles } from './sandbox-files.ts';
import {
  type CreateSandboxRequest,
  checkCreate,
  checkExtension,
  checkName,
  checkNamespace,
  checkSandboxId,
} from './sandbox-options.ts';
import type { SandboxRegistry } from './sandbox-registry.ts';
import { chooseUids, type UidOptions } from './uid-choice.ts';

/** The API key that acts, and the workspace it acts for. */
export type Owner = {
  readonly workspaceId: string;
  readonly principalId: string;
  /** Where its request came from, for the audit log. */
  readonly client?: AuditClient;
};

/** Whoever calls into a sandbox, authenticated and authorized. */
export type SandboxCaller =
  | { readonly kind: 'api_key'; readonly workspaceId: string }
  | { readonly kind: 'session_token'; readonly sandboxId: string };

export type SandboxesOptions = UidOptions & {
  readonly store: SandboxStore;
  readonly registry: SandboxRegistry;
  readonly files: SandboxFiles;
  readonly agents: AgentSupervisor;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Name of the driver that boxes new sandboxes. */
  readonly driver: string;
  /** Refuses new calls into a sandbox and ends its live ones. Called when the store has it. */
  readonly onEnded: (sandboxId: string, cause: DomainError) => void;
  readonly audit: AuditTrail;
};

/** Creates, finds, extends and ends sandboxes. */
export class Sandboxes {
  readonly #options: SandboxesOptions;
  readonly #ending: SandboxEnding;

  constructor(options: SandboxesOptions) {
    this.#options = options;
    this.#ending = new SandboxEnding(options);
  }

  /** Takes up what an earlier gateway left: greets agents, ends what expired, finishes what was being destroyed. */
  recover(): void {
    for (const sandbox of this.#options.registry.all()) {
      if (sandbox.status === 'running') void this.#options.agents.adopt(sandbox.id);
    }
    this.#ending.start();
  }

  /** Creates a sandbox and starts its agent. The same request id gives the same sandbox. */
  async create(owner: Owner, request: CreateSandboxRequest, signal: AbortSignal): Promise<Sandbox> {
    const insertion = await this.#insert(owner, request, {
      method: 'CreateSandbox',
      findByName: false,
    });
    return await this.#start(insertion, owner, signal);
  }

  /** The live sandbox of a name, or a new one. Any number of calls at once agree on one sandbox. */
  async findOrCreate(
    owner: Owner,
    request: CreateSandboxRequest,
    signal: AbortSignal,
  ): Promise<{ sandbox: Sandbox; created: boolean }> {
    checkName(request.name);
    const insertion = await this.#insert(owner, request, {
      method: 'FindOrCreateSandbox',
      findByName: true,
    });
    const sandbox = await this.#start(insertion, owner, signal);
    return { sandbox, created: insertion.kind !== 'found' };
  }

  /** As {@link findOrCreate}, but leaves the start of its agent to the first call into the sandbox. */
  async findOrReserve(owner: Owner, request: CreateSandboxRequest): Promise<Sandbox> {
    const method = 'FindOrCreateSandbox';
    const sandbox = sandboxOf(await this.#insert(owner, request, { method, findByName: true }));
    await this.#options.files.prepare(sandbox.id);
    this.#options.registry.set(sandbox);
    this.#ending.sweep();
    return sandbox;
  }

  /** The live sandbox of a name, if there is one. */
  async find(owner: Owner, key: { name: string; namespace: string }): Promise<Sandbox | undefined> {
    const { workspaceId } = owner;
    const name = checkName(key.name);
    return await this.#options.store.findByName({
      workspaceId,
      name,
      namespace: checkNamespace(key.namespace),
    });
  }

  /** A live sandbox. Throws NOT_FOUND. */
  get(owner: Owner, sandboxId: string): Sandbox {
    return this.#require(sandboxId, owner.workspaceId);
  }

  /** Live sandboxes, oldest first, and where the next page begins. */
  async list(
    owner: Owner,
    query: { namespace: string; pageSize: number; pageToken: string },
  ): Promise<{ sandboxes: readonly Sandbox[]; nextPageToken: string }> {
    const page = checkPage(query);
    const namespace = query.namespace === '' ? '' : checkNamespace(query.namespace);
    // One more than the page holds, to know whether there is a next one.
    const wanted = { ...page, size: page.size + 1 };
    const { workspaceId } = owner;
    const sandboxes = await this.#options.store.list({ workspaceId, namespace, page: wanted });
    const shown = sandboxes.slice(0, page.size);
    const last = shown.at(-1);
    const nextPageToken = last && sandboxes.length > page.size ? pageTokenAfter(last.sequence) : '';
    return { sandboxes: shown, nextPageToken };
  }

  /** Ends everything in a sandbox and deletes its files. Succeeds if it is gone. */
  async destroy(owner: Owner, sandboxId: string): Promise<void> {
    const sandbox = this.#options.registry.get(checkSandboxId(sandboxId));
    if (sandbox?.workspaceId !== owner.workspaceId) return;
    await this.#ending.destroy(sandboxId, actorOf(owner));
  }

  /** Moves the end of a sandbox's life to now plus `durationMs`, if that is later. */
  async extend(owner: Owner, sandboxId: string, durationMs: number | undefined): Promise<Sandbox> {
    const { registry, store, agents, clock } = this.#options;
    this.#require(sandboxId, owner.workspaceId);
    const sandbox = await store.extend(sandboxId, clock.now() + checkExtension(durationMs));
    if (!sandbox) throw notFound(sandboxId);
    registry.set(sandbox);
    agents.setExpiry(sandboxId, sandbox.expiresAt);
    return sandbox;
  }

  /** What people call a sandbox: its name, or its id. */
  nameOf(sandboxId: string): string {
    return this.#options.registry.get(sandboxId)?.name || sandboxId;
  }

  /** Whether a live sandbox shows a port to whoever knows its address. */
  isPublic(sandboxId: string, port: number): boolean {
    const sandbox = this.#options.registry.get(sandboxId);
    return sandbox !== undefined && isPublicPort(sandbox, port) && this.#isLive(sandbox);
  }

  /** Which Host and Origin a sandbox's programs get. */
  previewHostOf(sandboxId: string): PreviewHost {
    return this.#options.registry.get(sandboxId)?.previewHost ?? 'localhost';
  }

  /** Throws NOT_FOUND unless the workspace has this sandbox. */
  requireSandbox(sandboxId: string, workspaceId: string): void {
    this.#require(sandboxId, workspaceId);
  }

  /**
   * Where calls into a sandbox go; starts its agent if need be. No I/O while the agent lives.
   * Throws NOT_FOUND, SANDBOX_FAILED or AGENT_UNAVAILABLE.
   */
  async endpoint(sandboxId: string, signal: AbortSignal): Promise<AgentEndpoint> {
    const sandbox = this.#options.registry.get(sandboxId);
    if (!sandbox || sandbox.status === 'destroying') throw notFound(sandboxId);
    if (sandbox.status === 'failed') throw failed(sandbox);
    return await this.#options.agents.ensure(sandboxId, signal);
  }

  /** The sandbox that an authorized call goes to. No I/O. Throws NOT_FOUND or EXPIRED. */
  requireForCall(sandboxId: string, caller: SandboxCaller): Sandbox {
    const sandbox = this.#options.registry.get(checkSandboxId(sandboxId));
    const isTheirs =
      caller.kind === 'api_key'
        ? sandbox?.workspaceId === caller.workspaceId
        : sandbox?.id === caller.sandboxId;
    if (!sandbox || !isTheirs || sandbox.status === 'destroying') throw notFound(sandboxId);
    if (sandbox.expiresAt > this.#options.clock.now()) return sandbox;
    this.#ending.sweep();
    throw new DomainError('EXPIRED', 'the sandbox reached the end of its life');
  }

  /** Stops the timers and waits for what is being destroyed now. */
  close(): Promise<void> {
    return this.#ending.close();
  }

  async #insert(
    owner: Owner,
    request: CreateSandboxRequest,
    how: { method: string; findByName: boolean },
  ): Promise<Insertion> {
    const { store, clock, driver } = this.#options;
    const { requestId, timeoutMs, ...described } = checkCreate(request);
    const { name, namespace } = described;
    const id = newId('sbx');
    const uids = await chooseUids(id, this.#options);
    const createdAt = clock.now();
    const insertion = await store.insert({
      ...{ ...described, id, driver, createdAt },
      workspaceId: owner.workspaceId,
      expiresAt: createdAt + timeoutMs,
      request: { principalId: owner.principalId, method: how.method, requestId },
      ...(uids && { uids }),
      limit: MAX_SANDBOXES,
    });
    if (insertion.kind === 'found' && !how.findByName) {
      throw new DomainError(
        'ALREADY_EXISTS',
        `name: a sandbox of the namespace ${namespace} has this name`,
        {
          field: 'name',
        },
      );
    }
    const isRepeated = insertion.kind === 'repeated';
    if (
      isRepeated &&
      (insertion.sandbox.name !== name || insertion.sandbox.namespace !== namespace)
    ) {
      throw invalidArgument('requestId', 'was used for another sandbox');
    }
    return insertion;
  }

  async #start(insertion: Insertion, owner: Owner, signal: AbortSignal): Promise<Sandbox> {
    const { registry, files, agents } = this.#options;
    const { id, status } = registry.set(sandboxOf(insertion));
    if (insertion.kind === 'created') {
      this.#options.audit.record({ event: 'sandbox.created', ...actorOf(owner), sandboxId: id });
    }
    if (status === 'failed') throw failed(sandboxOf(insertion));
    try {
      await files.prepare(id);
      await agents.ensure(id, signal);
    } catch (error) {
      // The caller may be gone, or come back with the same request id: then the sandbox is theirs.
      if (insertion.kind === 'created' && !signal.aborted) await this.#ending.undo(id);
      throw error;
    }
    this.#ending.sweep();
    return this.#options.registry.get(id) ?? sandboxOf(insertion);
  }

  #require(sandboxId: string, workspaceId: string): Sandbox {
    const sandbox = this.#options.registry.get(checkSandboxId(sandboxId));
    if (sandbox?.workspaceId === workspaceId && this.#isLive(sandbox)) return sandbox;
    throw notFound(sandboxId);
  }

  /** One whose time is over is gone for its owner, although ending it takes a moment. */
  #isLive({ status, expiresAt }: Sandbox): boolean {
    return status !== 'destroying' && expiresAt > this.#options.clock.now();
  }
}

function actorOf({ principalId, client }: Owner): AuditActor {
  return { actor: principalId, ...client };
}

function notFound(sandboxId: string): DomainError {
  return new DomainError('NOT_FOUND', `no sandbox ${sandboxId}`, { field: 'sandboxId' });
}

function failed(sandbox: Sandbox): DomainError {
  return new DomainError(
    'SANDBOX_FAILED',
    `the agent of sandbox ${sandbox.id} died too often (${sandbox.failure}): destroy the sandbox`,
  );
}
