import { DomainError } from '../../core/domain-error.ts';
import { type AgentRecord, type AgentRecords, MAX_PREVIOUS_BOOT_IDS } from './agents.ts';
import type { Sandbox, SandboxStore } from './sandbox.ts';
import type { SandboxFiles } from './sandbox-files.ts';

/**
 * All sandboxes, in memory as the store has them: calls find theirs without I/O. Every change goes
 * to the store first. Statements of the store run in order, so the copy it returned last is the newest.
 */
export class SandboxRegistry implements AgentRecords {
  readonly #store: SandboxStore;
  readonly #files: SandboxFiles;
  readonly #sandboxes = new Map<string, Sandbox>();

  private constructor(store: SandboxStore, files: SandboxFiles) {
    this.#store = store;
    this.#files = files;
  }

  /** Reads every sandbox that the store has. */
  static async open(store: SandboxStore, files: SandboxFiles): Promise<SandboxRegistry> {
    const registry = new SandboxRegistry(store, files);
    for (const sandbox of await store.loadAll()) registry.set(sandbox);
    return registry;
  }

  /** The sandbox in whatever state. */
  get(id: string): Sandbox | undefined {
    return this.#sandboxes.get(id);
  }

  /** All sandboxes, in whatever state. */
  all(): readonly Sandbox[] {
    return [...this.#sandboxes.values()];
  }

  /** Takes over what the store returned. */
  set(sandbox: Sandbox): Sandbox {
    this.#sandboxes.set(sandbox.id, sandbox);
    return sandbox;
  }

  /** Forgets a sandbox that the store forgot. */
  delete(id: string): void {
    this.#sandboxes.delete(id);
  }

  agentRecord(sandboxId: string): AgentRecord | undefined {
    const sandbox = this.#sandboxes.get(sandboxId);
    if (!sandbox) return undefined;
    return {
      sandboxId,
      directory: this.#files.directory(sandboxId),
      expiresAt: sandbox.expiresAt,
      previousBootIds: sandbox.previousBootIds,
      ...(sandbox.uid !== null && { uid: sandbox.uid }),
      ...(sandbox.bootId !== null && { bootId: sandbox.bootId }),
      ...(sandbox.handle !== null && { handle: sandbox.handle }),
    };
  }

  async saveBoot(sandboxId: string, bootId: string): Promise<void> {
    const { bootId: last, previousBootIds: earlier } = this.#require(sandboxId);
    const previousBootIds =
      last === null ? earlier : [last, ...earlier].slice(0, MAX_PREVIOUS_BOOT_IDS);
    await this.#update(sandboxId, { bootId, previousBootIds, handle: null });
  }

  async saveHandle(sandboxId: string, handle: string): Promise<void> {
    await this.#update(sandboxId, { handle });
  }

  async saveFailure(sandboxId: string, failure: string): Promise<void> {
    await this.#update(sandboxId, { status: 'failed', failure });
  }

  async #update(sandboxId: string, change: Parameters<SandboxStore['update']>[1]): Promise<void> {
    const sandbox = await this.#store.update(sandboxId, change);
    if (sandbox) this.set(sandbox);
  }

  #require(sandboxId: string): Sandbox {
    const sandbox = this.#sandboxes.get(sandboxId);
    if (!sandbox)
      throw new DomainError('NOT_FOUND', `no sandbox ${sandboxId}`, { field: 'sandboxId' });
    return sandbox;
  }
}
