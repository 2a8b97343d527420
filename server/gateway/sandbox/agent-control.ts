import type { AgentEndpoint } from './agents.ts';

/** Who an agent says it is. Nothing of it is trusted before it was compared. */
export type AgentIdentity = {
  readonly sandboxId: string;
  readonly bootId: string;
  readonly protocolVersion: number;
};

/** An agent that answered, and that is watched from now on. */
export interface GreetedAgent {
  readonly identity: AgentIdentity;
  /** Resolves, with the reason for the log, when the agent is gone or misbehaves. Never rejects. */
  readonly lost: Promise<string>;
  /** Stops watching; the agent lives on. `lost` resolves. */
  leave(): void;
}

/** What the gateway says to agents. Every method is safe against an agent that lies, floods or hangs. */
export interface AgentControl {
  /** Greets the agent and watches over it. Rejects when it does not answer properly, or with the signal. */
  greet(endpoint: AgentEndpoint, options: GreetOptions): Promise<GreetedAgent>;
  /** Moves the agent's end, in milliseconds since the epoch. */
  setExpiry(endpoint: AgentEndpoint, expiresAt: number, signal: AbortSignal): Promise<void>;
  /** Asks the agent to end its programs and itself. */
  shutdown(endpoint: AgentEndpoint, signal: AbortSignal): Promise<void>;
}

export type GreetOptions = {
  readonly signal: AbortSignal;
  /** Called at every sign of life, about every 5 seconds. */
  readonly onKeepAlive: () => void;
};
