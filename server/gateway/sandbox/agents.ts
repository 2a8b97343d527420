import type { DomainError } from '../../core/domain-error.ts';

/** How to reach a sandbox's agent. */
export type AgentEndpoint = {
  /** Path of its Unix socket. */
  readonly socketPath: string;
};

/** Keeps one agent per sandbox alive. */
export interface AgentSupervisor {
  /**
   * Finds the sandbox's agent or starts it; calls for one sandbox share one start. Resolves at once
   * (no I/O) while a greeted agent lives. Throws AGENT_UNAVAILABLE, SANDBOX_FAILED, or what the
   * signal aborts with; the signal ends the wait, not the start.
   */
  ensure(sandboxId: string, signal: AbortSignal): Promise<AgentEndpoint>;
  /**
   * Greets the agent if one is alive from an earlier gateway, so that it does not end itself; never
   * starts one. Called for every sandbox when the gateway starts. Never rejects.
   */
  adopt(sandboxId: string): Promise<void>;
  /** Ends the agent and every process in its box. When it resolves, none is left. Idempotent. */
  end(sandboxId: string): Promise<void>;
  /** Tells the agent when to end itself, in milliseconds since the epoch. Best effort. */
  setExpiry(sandboxId: string, expiresAt: number): void;
  /** Calls `listener` when a greeted agent died. The cause is AGENT_UNAVAILABLE or SANDBOX_FAILED. */
  onLost(listener: (sandboxId: string, cause: DomainError) => void): void;
  /** Stops supervising; with `endAgents` as {@link end} for all, else agents live on. */
  close(options: { readonly endAgents: boolean }): Promise<void>;
}

/** What a supervisor must know of a sandbox to start, find or end its agent. */
export type AgentRecord = {
  readonly sandboxId: string;
  /** Directory of the sandbox on the host; holds `project/`. */
  readonly directory: string;
  /** Host uid and gid of the box. Absent when the gateway is not root. */
  readonly uid?: number;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** The boot id of the agent started last. Absent: none was ever started. */
  readonly bootId?: string;
  /** Boot ids before that, newest first, at most {@link MAX_PREVIOUS_BOOT_IDS}. */
  readonly previousBootIds: readonly string[];
  /** What the driver needs to end the box started last. Absent: the gateway died before it was kept. */
  readonly handle?: string;
};

/** How many earlier boot ids are kept, so that terminals of an earlier life are told apart from unknown ones. */
export const MAX_PREVIOUS_BOOT_IDS = 64;

/** Where a supervisor reads and keeps what it must know after a restart. Implemented by `Sandboxes`. */
export interface AgentRecords {
  /** The record, or undefined when there is no such sandbox. Sandboxes being destroyed have one. */
  agentRecord(sandboxId: string): AgentRecord | undefined;
  /** Keeps the boot id of an agent about to be started; the one before becomes a previous one. Durable. */
  saveBoot(sandboxId: string, bootId: string): Promise<void>;
  /** Keeps the driver's handle of the box just started. Durable. */
  saveHandle(sandboxId: string, handle: string): Promise<void>;
  /** Marks the sandbox as failed, with the last error for its owner. Durable. */
  saveFailure(sandboxId: string, failure: string): Promise<void>;
}

/**
 * The calls that run through the gateway now. A call is registered under its caller's principal id
 * and its sandbox, and ends by itself, with EXPIRED, when its session token does.
 */
export interface LiveCalls {
  /** Ends every call into this sandbox, at a message boundary, with `cause`. */
  endSandbox(sandboxId: string, cause: DomainError): void;
  /**
   * Ends every call of this session token or API key, with `cause`. Resolves when each client has
   * read what it was sent before or was cut.
   */
  endPrincipal(principalId: string, cause: DomainError): Promise<void>;
}
