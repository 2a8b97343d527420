import { deferred } from '../../../../../server/core/deferred.ts';
import type { DomainError } from '../../../../../server/core/domain-error.ts';
import { silentLogger } from '../../../../../server/core/log.ts';
import { Supervisor } from '../../../../../server/gateway/sandbox/agent-supervisor.ts';
import { FakeClock } from '../../../../support/fake-clock.ts';
import { FakeAgents, FakeRecords } from './fake-agents.ts';

export const ID = 'sbx1';
export const DIRECTORY = '/boxes/sbx1';
export const never: AbortSignal = new AbortController().signal;

/** A supervisor over agents in memory and a clock that stands still. One sandbox exists: {@link ID}. */
export class SupervisorBench {
  readonly clock = new FakeClock();
  readonly agents = new FakeAgents();
  readonly records = new FakeRecords();
  readonly losses: { readonly sandboxId: string; readonly cause: DomainError }[] = [];
  supervisor: Supervisor = this.#open();

  constructor() {
    this.records.add(ID);
  }

  /** Another gateway process takes over; agents live on. */
  async restart(): Promise<void> {
    await this.supervisor.close({ endAgents: false });
    // It can be watched again.
    for (const agent of this.agents.running.values()) agent.lost = deferred<string>();
    this.supervisor = this.#open();
  }

  #open(): Supervisor {
    const { records, agents, clock, losses } = this;
    const opened = new Supervisor({
      ...{ records, clock, driver: agents, control: agents, logger: silentLogger },
      ...{ egress: 'none', graceMs: 600_000, agentLogLevel: 'info' },
    });
    opened.onLost((sandboxId, cause) => losses.push({ sandboxId, cause }));
    return opened;
  }
}

/** Lets everything run that waits for nothing but promises. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
