import type { DomainError } from '../../../../server/core/domain-error.ts';
import type { AgentEndpoint, AgentSupervisor } from '../../../../server/gateway/sandbox/agents.ts';

/** Agents that are nothing but an entry in a set. */
export class FakeAgents implements AgentSupervisor {
  readonly live = new Set<string>();
  readonly started: string[] = [];
  readonly adopted: string[] = [];
  readonly ended: string[] = [];
  readonly expiries: { sandboxId: string; expiresAt: number }[] = [];
  readonly listeners: ((sandboxId: string, cause: DomainError) => void)[] = [];
  /** What the next start or end fails with. */
  nextFailure: Error | undefined;
  /** A start waits for this. */
  startGate: Promise<void> = Promise.resolve();

  async ensure(sandboxId: string, signal: AbortSignal): Promise<AgentEndpoint> {
    await this.startGate;
    signal.throwIfAborted();
    this.#failIfAsked();
    if (!this.live.has(sandboxId)) this.started.push(sandboxId);
    this.live.add(sandboxId);
    return { socketPath: `/run/${sandboxId}` };
  }

  async adopt(sandboxId: string): Promise<void> {
    this.adopted.push(sandboxId);
  }

  async end(sandboxId: string): Promise<void> {
    this.#failIfAsked();
    this.live.delete(sandboxId);
    this.ended.push(sandboxId);
  }

  setExpiry(sandboxId: string, expiresAt: number): void {
    this.expiries.push({ sandboxId, expiresAt });
  }

  onLost(listener: (sandboxId: string, cause: DomainError) => void): void {
    this.listeners.push(listener);
  }

  async close(): Promise<void> {}

  #failIfAsked(): void {
    const failure = this.nextFailure;
    this.nextFailure = undefined;
    if (failure) throw failure;
  }
}
