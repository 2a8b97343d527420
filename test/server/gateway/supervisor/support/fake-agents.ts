import { untilAborted } from '../../../../../server/core/abort.ts';
import { type Deferred, deferred } from '../../../../../server/core/deferred.ts';
import { DomainError } from '../../../../../server/core/domain-error.ts';
import type {
  Box,
  BoxExit,
  BoxReference,
  BoxSpec,
  Driver,
  Endpoint,
} from '../../../../../server/driver/driver.ts';
import type {
  AgentControl,
  AgentIdentity,
  GreetedAgent,
  GreetOptions,
} from '../../../../../server/gateway/sandbox/agent-control.ts';
import type { AgentRecord, AgentRecords } from '../../../../../server/gateway/sandbox/agents.ts';

/** An agent that exists in memory only. */
export class FakeAgent {
  identity: AgentIdentity;
  /** What a greeting does: answer, say nothing for ever, or fail. */
  manner: 'polite' | 'silent' | 'refusing' = 'polite';
  readonly exited: Deferred<BoxExit> = deferred<BoxExit>();
  lost: Deferred<string> = deferred<string>();
  readonly expiries: number[] = [];
  isGreeted = false;

  constructor(identity: AgentIdentity) {
    this.identity = identity;
  }

  die(stderr = 'the last words'): void {
    this.exited.resolve({ exitCode: 1, signal: null, stderr });
    this.lost.resolve('it ended the stream');
  }
}

/** A driver and the gateway's side of the protocol, with agents of one's own making. */
export class FakeAgents implements Driver, AgentControl {
  readonly name = 'fake';
  readonly isolated = true;
  /** Every start, oldest first. */
  readonly starts: BoxSpec[] = [];
  readonly destroyed: BoxReference[] = [];
  readonly shutdowns: string[] = [];
  /** Running agents by their directory. */
  readonly running = new Map<string, FakeAgent>();
  /** Called with each new agent before it is greeted. */
  onStart: (agent: FakeAgent) => void = () => {};
  /** Shutdown is never answered. */
  ignoresShutdown = false;
  /** Holds back the start of boxes until it resolves. */
  startGate: Promise<void> = Promise.resolve();

  async verify(): Promise<void> {}

  async start(spec: BoxSpec, signal: AbortSignal): Promise<Box> {
    signal.throwIfAborted();
    this.starts.push(spec);
    await this.startGate;
    const { sandboxId, bootId } = spec.agent;
    const agent = new FakeAgent({ sandboxId, bootId, protocolVersion: 1 });
    this.running.set(spec.directory, agent);
    this.onStart(agent);
    const handle = `handle of ${bootId}`;
    return { endpoint: this.endpoint(spec.directory), handle, exited: agent.exited.promise };
  }

  endpoint(directory: string): Endpoint {
    return { socketPath: directory };
  }

  async tend(): Promise<void> {}

  async destroy(box: BoxReference): Promise<void> {
    this.destroyed.push(box);
    this.running.get(box.directory)?.die('killed');
    this.running.delete(box.directory);
  }

  close(): void {}

  async greet({ socketPath }: Endpoint, { signal }: GreetOptions): Promise<GreetedAgent> {
    const agent = this.running.get(socketPath);
    if (!agent || agent.manner === 'refusing') throw new Error('ECONNREFUSED');
    if (agent.manner === 'silent') {
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    }
    agent.isGreeted = true;
    const leave = () => {
      agent.isGreeted = false;
      agent.lost.resolve('left');
    };
    return { identity: agent.identity, lost: agent.lost.promise, leave };
  }

  async setExpiry({ socketPath }: Endpoint, expiresAt: number): Promise<void> {
    this.running.get(socketPath)?.expiries.push(expiresAt);
  }

  async shutdown({ socketPath }: Endpoint, signal: AbortSignal): Promise<void> {
    if (this.ignoresShutdown) return untilAborted(new Promise(() => {}), signal);
    this.shutdowns.push(socketPath);
    this.running.get(socketPath)?.die('shut down');
  }

  /** The agent that runs in this directory. */
  agent(directory: string): FakeAgent {
    const agent = this.running.get(directory);
    if (!agent) throw new Error(`no agent runs in ${directory}`);
    return agent;
  }
}

/** Records in memory, as the store keeps them. */
export class FakeRecords implements AgentRecords {
  readonly records = new Map<string, AgentRecord>();
  readonly failures = new Map<string, string>();
  /** Makes every save fail. */
  broken = false;

  add(sandboxId: string, record: Partial<AgentRecord> = {}): void {
    const fresh = { sandboxId, directory: `/boxes/${sandboxId}`, previousBootIds: [] };
    this.records.set(sandboxId, { ...fresh, expiresAt: Number.MAX_SAFE_INTEGER, ...record });
  }

  agentRecord(sandboxId: string): AgentRecord | undefined {
    return this.records.get(sandboxId);
  }

  async saveBoot(sandboxId: string, bootId: string): Promise<void> {
    const { handle: _handle, ...record } = this.#record(sandboxId);
    const previousBootIds = [record.bootId ?? [], record.previousBootIds].flat();
    this.records.set(sandboxId, { ...record, bootId, previousBootIds });
  }

  async saveHandle(sandboxId: string, handle: string): Promise<void> {
    this.records.set(sandboxId, { ...this.#record(sandboxId), handle });
  }

  async saveFailure(sandboxId: string, failure: string): Promise<void> {
    this.failures.set(sandboxId, failure);
  }

  #record(sandboxId: string): AgentRecord {
    if (this.broken) throw new DomainError('INTERNAL', 'the store is broken');
    const record = this.records.get(sandboxId);
    if (!record) throw new Error(`no record of ${sandboxId}`);
    return record;
  }
}
