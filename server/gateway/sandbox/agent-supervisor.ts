import { DomainError } from '../../core/domain-error.ts';
import { AgentLife, type AgentLifeOptions } from './agent-life.ts';
import type { AgentEndpoint, AgentSupervisor } from './agents.ts';

export type SupervisorOptions = Omit<AgentLifeOptions, 'sandboxId' | 'onLost'>;

type LostListener = (sandboxId: string, cause: DomainError) => void;

/** How many agents are ended at a time when the gateway closes. */
const CLOSE_BATCH = 16;

/** Keeps one agent per sandbox alive, each through its {@link AgentLife}. */
export class Supervisor implements AgentSupervisor {
  readonly #options: SupervisorOptions;
  /** One entry per sandbox that was asked for and not ended. */
  readonly #lives = new Map<string, AgentLife>();
  readonly #listeners: LostListener[] = [];
  #isClosed = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  async ensure(sandboxId: string, signal: AbortSignal): Promise<AgentEndpoint> {
    if (this.#isClosed) throw new DomainError('SHUTTING_DOWN', 'the gateway is shutting down');
    return this.#life(sandboxId).ensure(signal);
  }

  async adopt(sandboxId: string): Promise<void> {
    if (!this.#isClosed) await this.#life(sandboxId).adopt();
  }

  async end(sandboxId: string): Promise<void> {
    const life = this.#life(sandboxId);
    await life.end();
    // Another life may have begun only after this one was taken out.
    if (this.#lives.get(sandboxId) === life) this.#lives.delete(sandboxId);
  }

  setExpiry(sandboxId: string, expiresAt: number): void {
    this.#lives.get(sandboxId)?.setExpiry(expiresAt);
  }

  onLost(listener: LostListener): void {
    this.#listeners.push(listener);
  }

  async close({ endAgents }: { readonly endAgents: boolean }): Promise<void> {
    this.#isClosed = true;
    const lives = [...this.#lives.values()];
    for (let start = 0; start < lives.length; start += CLOSE_BATCH) {
      const batch = lives.slice(start, start + CLOSE_BATCH);
      await Promise.all(batch.map((life) => (endAgents ? this.#endQuietly(life) : life.leave())));
    }
    this.#lives.clear();
  }

  async #endQuietly(life: AgentLife): Promise<void> {
    try {
      await life.end();
    } catch (error) {
      this.#options.logger.error('cannot end an agent', { sandboxId: life.sandboxId, error });
    }
  }

  #life(sandboxId: string): AgentLife {
    const known = this.#lives.get(sandboxId);
    if (known) return known;
    const onLost = (cause: DomainError) => {
      for (const listener of this.#listeners) listener(sandboxId, cause);
    };
    const life = new AgentLife({ ...this.#options, sandboxId, onLost });
    this.#lives.set(sandboxId, life);
    return life;
  }
}
