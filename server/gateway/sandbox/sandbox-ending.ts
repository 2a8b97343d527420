import { type AuditActor, type AuditTrail, SYSTEM_ACTOR } from '../../core/audit.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { Logger } from '../../core/log.ts';
import type { AgentSupervisor } from './agents.ts';
import type { Sandbox, SandboxStore } from './sandbox.ts';
import type { SandboxFiles } from './sandbox-files.ts';
import type { SandboxRegistry } from './sandbox-registry.ts';

/** The longest time between two looks at what has expired, so that a clock that was set is noticed. */
export const MAX_SWEEP_MS = 30_000;

export type SandboxEndingOptions = {
  readonly store: SandboxStore;
  readonly registry: SandboxRegistry;
  readonly files: SandboxFiles;
  readonly agents: AgentSupervisor;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onEnded: (sandboxId: string, cause: DomainError) => void;
  readonly audit: AuditTrail;
};

/**
 * Ends sandboxes: on demand, and when their time has come. What could not be finished (a process
 * that would not die, a gateway that was killed) stays marked and is tried again.
 */
export class SandboxEnding {
  readonly #options: SandboxEndingOptions;
  /** Being ended now. Whoever asks meanwhile waits for the same end. */
  readonly #ending = new Map<string, Promise<void>>();
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: SandboxEndingOptions) {
    this.#options = options;
  }

  /** Finishes what was being destroyed, ends what expired, and from now on does so by itself. */
  start(): void {
    for (const { id, status } of this.#options.registry.all()) {
      if (status === 'destroying') this.#inBackground(id, () => this.#finish(id));
    }
    this.sweep();
  }

  /** Ends a sandbox. No process and no file of it is left when this resolves. Idempotent. */
  async destroy(id: string, by: AuditActor): Promise<void> {
    // An end that is under way may turn out to be none (the sandbox was extended), or fail.
    await this.#ending.get(id)?.catch(() => {});
    if (!this.#options.registry.get(id)) return;
    await this.#once(id, async () => {
      await this.#mark(id, { reason: 'DESTROYED', by });
      await this.#finish(id);
    });
  }

  /** Takes back a creation that failed: a retry of the request may make it anew. */
  undo(id: string): Promise<void> {
    return this.#once(id, async () => {
      await this.#mark(id, { reason: 'DESTROYED' });
      await this.#finish(id, { forgetRequest: true });
    }).catch((error: unknown) => {
      this.#options.logger.error('cannot take back a sandbox', { sandboxId: id, error });
    });
  }

  /** Ends what has expired and sets the timer for what expires next. */
  sweep(): void {
    if (this.#isClosed) return;
    const { registry, clock } = this.#options;
    const now = clock.now();
    let delayMs = MAX_SWEEP_MS;
    for (const { id, status, expiresAt } of registry.all()) {
      if (status === 'destroying') continue;
      if (expiresAt <= now) this.#inBackground(id, () => this.#expire(id, now));
      else delayMs = Math.min(delayMs, expiresAt - now);
    }
    this.#timer?.clear();
    this.#timer = clock.setTimer(() => this.#tick(), delayMs);
  }

  /** Stops the timer and waits for what is being ended now. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.clear();
    await Promise.allSettled(this.#ending.values());
  }

  #tick(): void {
    for (const { id, status } of this.#options.registry.all()) {
      if (status === 'destroying') this.#inBackground(id, () => this.#finish(id));
    }
    this.sweep();
  }

  async #expire(id: string, now: number): Promise<void> {
    // The store decides: the sandbox may have been extended in this very moment.
    const marked = await this.#mark(id, { reason: 'EXPIRED', ifExpiredAt: now });
    if (marked) await this.#finish(id);
  }

  async #mark(
    id: string,
    how: { reason: 'DESTROYED' | 'EXPIRED'; ifExpiredAt?: number; by?: AuditActor },
  ): Promise<Sandbox | undefined> {
    const { store, registry, clock, logger, onEnded, audit } = this.#options;
    const { reason, ifExpiredAt, by = SYSTEM_ACTOR } = how;
    const when = { now: clock.now(), ...(ifExpiredAt !== undefined && { ifExpiredAt }) };
    const sandbox = await store.markDestroying(id, { reason, ...when });
    if (!sandbox) return undefined;
    registry.set(sandbox);
    logger.info('sandbox ends', { sandboxId: id, reason });
    onEnded(id, ended(reason));
    const event = reason === 'EXPIRED' ? 'sandbox.expired' : 'sandbox.destroyed';
    audit.record({ event, ...by, sandboxId: id });
    return sandbox;
  }

  async #finish(id: string, options: { forgetRequest?: boolean } = {}): Promise<void> {
    const { agents, files, store, registry } = this.#options;
    if (!registry.get(id)) return;
    await agents.end(id);
    await files.delete(id);
    await store.remove(id, options);
    registry.delete(id);
  }

  #once(id: string, task: () => Promise<void>): Promise<void> {
    const running = this.#ending.get(id);
    if (running) return running;
    const ending = task().finally(() => this.#ending.delete(id));
    this.#ending.set(id, ending);
    return ending;
  }

  #inBackground(id: string, task: () => Promise<void>): void {
    if (this.#ending.has(id)) return;
    this.#once(id, task).catch((error: unknown) => {
      this.#options.logger.error('cannot end a sandbox, will try again', { sandboxId: id, error });
    });
  }
}

function ended(reason: 'DESTROYED' | 'EXPIRED'): DomainError {
  return reason === 'EXPIRED'
    ? new DomainError('EXPIRED', 'the sandbox reached the end of its life')
    : new DomainError('DESTROYED', 'the sandbox was destroyed');
}
