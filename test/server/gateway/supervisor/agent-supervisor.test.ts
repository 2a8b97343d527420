import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deferred } from '../../../../server/core/deferred.ts';
import type { DomainError } from '../../../../server/core/domain-error.ts';
import { silentLogger } from '../../../../server/core/log.ts';
import { Supervisor } from '../../../../server/gateway/sandbox/agent-supervisor.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FakeAgents, FakeRecords } from './support/fake-agents.ts';

const ID = 'sbx1';
const DIRECTORY = '/boxes/sbx1';
const never = new AbortController().signal;

let clock: FakeClock;
let agents: FakeAgents;
let records: FakeRecords;
let supervisor: Supervisor;
let losses: { readonly sandboxId: string; readonly cause: DomainError }[];

beforeEach(() => {
  clock = new FakeClock();
  agents = new FakeAgents();
  records = new FakeRecords();
  records.add(ID);
  losses = [];
  supervisor = newSupervisor();
});
afterEach(async () => {
  await supervisor.close({ endAgents: false });
  expect(clock.pendingTimers).toBe(0);
});

describe('ensure', () => {
  test('starts one agent for all who ask at once, and keeps its boot id and handle', async () => {
    const asked = [1, 2, 3].map(() => supervisor.ensure(ID, never));
    const endpoints = await Promise.all(asked);
    expect(endpoints).toEqual(Array(3).fill({ socketPath: DIRECTORY }));
    expect(agents.starts).toHaveLength(1);
    const bootId = agents.starts[0]?.agent.bootId;
    expect(records.agentRecord(ID)).toMatchObject({ bootId, handle: `handle of ${bootId}` });
    await supervisor.ensure(ID, never);
    expect(agents.starts).toHaveLength(1);
  });

  test('lets one caller leave without ending the start', async () => {
    const gate = deferred<void>();
    agents.startGate = gate.promise;
    const leaver = new AbortController();
    const first = supervisor.ensure(ID, leaver.signal);
    const second = supervisor.ensure(ID, never);
    leaver.abort(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    gate.resolve();
    await expect(second).resolves.toEqual({ socketPath: DIRECTORY });
  });

  test('finds the agent that an earlier gateway left', async () => {
    await supervisor.ensure(ID, never);
    await supervisor.close({ endAgents: false });
    expect(agents.agent(DIRECTORY).isGreeted).toBe(false);
    agents.agent(DIRECTORY).lost.promise.catch(() => {});
    replaceLost();
    supervisor = newSupervisor();
    await supervisor.ensure(ID, never);
    expect(agents.starts).toHaveLength(1);
    expect(agents.destroyed).toEqual([]);
  });

  test.each([
    ['another sandbox', { sandboxId: 'sbx2' }],
    ['another boot', { bootId: 'bot-other' }],
    ['a protocol version of the future', { protocolVersion: 2 }],
    ['a nonsensical protocol version', { protocolVersion: 2 ** 32 - 1 }],
  ])('ends an agent that claims to be of %s, and starts anew', async (_what, claim) => {
    await supervisor.ensure(ID, never);
    const before = records.agentRecord(ID);
    await supervisor.close({ endAgents: false });
    replaceLost();
    const agent = agents.agent(DIRECTORY);
    agent.identity = { ...agent.identity, ...claim };
    supervisor = newSupervisor();
    await supervisor.ensure(ID, never);
    expect(agents.starts).toHaveLength(2);
    expect(agents.destroyed).toEqual([before]);
    expect(agents.starts[1]?.agent.previousBootIds).toEqual([before?.bootId]);
  });

  test('takes an agent that speaks the protocol version before this one', async () => {
    agents.onStart = (agent) => {
      agent.identity = { ...agent.identity, protocolVersion: 0 };
    };
    await supervisor.ensure(ID, never);
    expect(agents.starts).toHaveLength(1);
  });

  test('gives up an agent that takes the greeting and never answers, after 10 s', async () => {
    let starts = 0;
    agents.onStart = (agent) => {
      starts += 1;
      if (starts === 1) agent.manner = 'silent';
    };
    const asked = supervisor.ensure(ID, never);
    await clock.advanceAsync(9900);
    expect(starts).toBe(1);
    await clock.advanceAsync(200);
    await asked;
    expect(starts).toBe(2);
    expect(agents.destroyed.length).toBeGreaterThan(0);
  });

  test('does not wait for an agent that ended before it greeted back', async () => {
    let starts = 0;
    agents.onStart = (agent) => {
      starts += 1;
      if (starts > 1) return;
      agent.manner = 'silent';
      setImmediate(() => agent.die('no such module'));
    };
    await supervisor.ensure(ID, never);
    expect(starts).toBe(2);
  });

  test('starts no agent for a sandbox that is unknown or at its end', async () => {
    await expect(supervisor.ensure('sbx2', never)).rejects.toMatchObject({ reason: 'NOT_FOUND' });
    records.add('sbx3', { expiresAt: clock.now() });
    const late = supervisor.ensure('sbx3', never);
    await expect(late).rejects.toMatchObject({ reason: 'AGENT_UNAVAILABLE' });
    expect(agents.starts).toEqual([]);
  });

  test('leaves no box behind when the store does not take the boot id', async () => {
    records.broken = true;
    await expect(supervisor.ensure(ID, never)).rejects.toMatchObject({ reason: 'INTERNAL' });
    expect(agents.running.size).toBe(0);
    records.broken = false;
    await supervisor.ensure(ID, never);
  });

  test('is refused once the supervisor was closed', async () => {
    await supervisor.close({ endAgents: false });
    await expect(supervisor.ensure(ID, never)).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' });
  });
});

describe('an agent that dies', () => {
  test('is told of at once, cleared up after, and replaced when somebody asks', async () => {
    await supervisor.ensure(ID, never);
    const first = records.agentRecord(ID)?.bootId;
    agents.agent(DIRECTORY).die();
    await settled();
    expect(losses).toMatchObject([{ sandboxId: ID, cause: { reason: 'AGENT_UNAVAILABLE' } }]);
    expect(agents.running.size).toBe(0);
    expect(agents.destroyed).toHaveLength(1);
    await supervisor.ensure(ID, never);
    expect(agents.starts[1]?.agent.previousBootIds).toEqual([first]);
  });

  test('is replaced at once the first time, then after 250, 500 and 1000 ms', async () => {
    const waits: number[] = [];
    for (let death = 0; death < 4; death += 1) {
      await supervisor.ensure(ID, never);
      agents.agent(DIRECTORY).die();
      await settled();
      const starts = agents.starts.length;
      const asked = supervisor.ensure(ID, never);
      await settled();
      let waited = 0;
      while (agents.starts.length === starts) {
        await clock.advanceAsync(50, 50);
        waited += 50;
      }
      waits.push(waited);
      await asked;
    }
    expect(waits).toEqual([0, 250, 500, 1000]);
  });

  test('five times within a minute makes the sandbox failed, with the last words', async () => {
    for (let death = 1; death <= 5; death += 1) {
      const asked = supervisor.ensure(ID, never);
      await clock.advanceAsync(2000);
      await asked;
      agents.agent(DIRECTORY).die(`words of death ${death}`);
      await settled();
    }
    expect(losses.map(({ cause }) => cause.reason)).toEqual([
      ...Array(4).fill('AGENT_UNAVAILABLE'),
      'SANDBOX_FAILED',
    ]);
    expect(records.failures.get(ID)).toBe('words of death 5');
    await expect(supervisor.ensure(ID, never)).rejects.toMatchObject({ reason: 'SANDBOX_FAILED' });
    expect(agents.starts).toHaveLength(5);
  });

  test('five times, but not within a minute, is replaced each time', async () => {
    for (let death = 1; death <= 10; death += 1) {
      const asked = supervisor.ensure(ID, never);
      await clock.advanceAsync(2000);
      await asked;
      agents.agent(DIRECTORY).die();
      await clock.advanceAsync(20_000, 1000);
    }
    await supervisor.ensure(ID, never);
  });

  test('at its start, again and again, fails the one call that asked, with the last words', async () => {
    agents.onStart = (agent) => {
      agent.manner = 'silent';
      setImmediate(() => agent.die('cannot find node-pty'));
    };
    const asked = supervisor.ensure(ID, never);
    asked.catch(() => {});
    await clock.advanceAsync(5000);
    await expect(asked).rejects.toMatchObject({ reason: 'SANDBOX_FAILED' });
    expect(agents.starts).toHaveLength(5);
    expect(records.failures.get(ID)).toContain('cannot find node-pty');
    expect(losses).toEqual([]);
    expect(agents.running.size).toBe(0);
  });
});

describe('adopt', () => {
  test('greets a running agent and tells it the expiry that may have moved', async () => {
    await supervisor.ensure(ID, never);
    await supervisor.close({ endAgents: false });
    replaceLost();
    const record = records.agentRecord(ID);
    records.add(ID, { ...record, expiresAt: clock.now() + 60_000 });
    supervisor = newSupervisor();
    await supervisor.adopt(ID);
    expect(agents.agent(DIRECTORY).isGreeted).toBe(true);
    expect(agents.agent(DIRECTORY).expiries).toEqual([clock.now() + 62_000]);
    agents.agent(DIRECTORY).die();
    await settled();
    expect(losses).toHaveLength(1);
  });

  test('starts none, and says nothing, when there is none', async () => {
    await supervisor.adopt(ID);
    await supervisor.adopt('sbx2');
    records.add(ID, { bootId: 'bot1' });
    await newSupervisor().adopt(ID);
    expect(agents.starts).toEqual([]);
    expect(losses).toEqual([]);
  });
});

describe('end', () => {
  test('shuts the agent down, ends the box by its handle, and reports no loss', async () => {
    await supervisor.ensure(ID, never);
    await Promise.all([supervisor.end(ID), supervisor.end(ID)]);
    expect(agents.shutdowns).toEqual([DIRECTORY]);
    expect(agents.destroyed).toEqual([records.agentRecord(ID)]);
    expect(losses).toEqual([]);
  });

  test('ends a box that this supervisor never saw', async () => {
    records.add(ID, { bootId: 'bot1', handle: 'a handle', uid: 70_001 });
    await supervisor.end(ID);
    expect(agents.destroyed).toMatchObject([{ handle: 'a handle', uid: 70_001 }]);
  });

  test('does not wait for an agent that ignores Shutdown', async () => {
    agents.ignoresShutdown = true;
    await supervisor.ensure(ID, never);
    const ended = supervisor.end(ID);
    await clock.advanceAsync(3000);
    await ended;
    expect(agents.running.size).toBe(0);
  });

  test('calls off a start that is under way', async () => {
    const gate = deferred<void>();
    agents.startGate = gate.promise;
    const asked = supervisor.ensure(ID, never);
    asked.catch(() => {});
    await settled();
    const ended = supervisor.end(ID);
    gate.resolve();
    await ended;
    await expect(asked).rejects.toMatchObject({ reason: 'AGENT_UNAVAILABLE' });
    expect(agents.running.size).toBe(0);
  });

  test('can be tried again after it failed', async () => {
    await supervisor.ensure(ID, never);
    const destroy = agents.destroy.bind(agents);
    agents.destroy = () => Promise.reject(new Error('a process would not die'));
    await expect(supervisor.end(ID)).rejects.toThrow('would not die');
    agents.destroy = destroy;
    await supervisor.end(ID);
    expect(agents.running.size).toBe(0);
  });
});

test('close ends the agents of all sandboxes if that is wanted', async () => {
  const ids = Array.from({ length: 40 }, (_, index) => `sbx-${index}`);
  for (const id of ids) records.add(id);
  await Promise.all(ids.map((id) => supervisor.ensure(id, never)));
  expect(agents.running.size).toBe(40);
  await supervisor.close({ endAgents: true });
  expect(agents.running.size).toBe(0);
  expect(losses).toEqual([]);
});

test('setExpiry tells the agent, which ends itself a little after the gateway would', async () => {
  await supervisor.ensure(ID, never);
  supervisor.setExpiry(ID, 5000);
  supervisor.setExpiry('sbx2', 5000);
  await settled();
  expect(agents.agent(DIRECTORY).expiries).toEqual([7000]);
});

function newSupervisor(): Supervisor {
  const created = new Supervisor({
    records,
    driver: agents,
    control: agents,
    clock,
    logger: silentLogger,
    egress: 'none',
    graceMs: 600_000,
    agentLogLevel: 'info',
  });
  created.onLost((sandboxId, cause) => losses.push({ sandboxId, cause }));
  return created;
}

/** The agent lives on, and can be watched again. */
function replaceLost(): void {
  const agent = agents.agent(DIRECTORY);
  const again = deferred<string>();
  Object.assign(agent, { lost: again });
}

/** Lets everything run that waits for nothing but promises. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
