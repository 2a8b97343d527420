import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deferred } from '../../../../server/core/deferred.ts';
import type { FakeClock } from '../../../support/fake-clock.ts';
import type { FakeAgents, FakeRecords } from './support/fake-agents.ts';
import { DIRECTORY, ID, never, SupervisorBench, settled } from './support/supervisor-bench.ts';

let bench: SupervisorBench;
let clock: FakeClock;
let agents: FakeAgents;
let records: FakeRecords;

beforeEach(() => {
  bench = new SupervisorBench();
  ({ clock, agents, records } = bench);
});
afterEach(async () => {
  await bench.supervisor.close({ endAgents: false });
  expect(clock.pendingTimers).toBe(0);
});

describe('an agent that dies', () => {
  test('is told of at once, cleared up after, and replaced when somebody asks', async () => {
    await bench.supervisor.ensure(ID, never);
    const first = records.agentRecord(ID)?.bootId;
    agents.agent(DIRECTORY).die();
    await settled();
    expect(bench.losses).toMatchObject([{ sandboxId: ID, cause: { reason: 'AGENT_UNAVAILABLE' } }]);
    expect(agents.running.size).toBe(0);
    expect(agents.destroyed).toHaveLength(1);
    await bench.supervisor.ensure(ID, never);
    expect(agents.starts[1]?.agent.previousBootIds).toEqual([first]);
  });

  test('is replaced at once the first time, then after 250, 500 and 1000 ms', async () => {
    const waits: number[] = [];
    for (let death = 0; death < 4; death += 1) {
      await bench.supervisor.ensure(ID, never);
      agents.agent(DIRECTORY).die();
      await settled();
      const starts = agents.starts.length;
      const asked = bench.supervisor.ensure(ID, never);
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
      const asked = bench.supervisor.ensure(ID, never);
      await clock.advanceAsync(2000);
      await asked;
      agents.agent(DIRECTORY).die(`words of death ${death}`);
      await settled();
    }
    expect(bench.losses.map(({ cause }) => cause.reason)).toEqual([
      ...Array(4).fill('AGENT_UNAVAILABLE'),
      'SANDBOX_FAILED',
    ]);
    expect(records.failures.get(ID)).toBe('words of death 5');
    await expect(bench.supervisor.ensure(ID, never)).rejects.toMatchObject({
      reason: 'SANDBOX_FAILED',
    });
    expect(agents.starts).toHaveLength(5);
  });

  test('five times, but not within a minute, is replaced each time, at once', async () => {
    for (let death = 1; death <= 10; death += 1) {
      await bench.supervisor.ensure(ID, never);
      agents.agent(DIRECTORY).die();
      await clock.advanceAsync(20_000, 1000);
    }
    await bench.supervisor.ensure(ID, never);
  });

  test('at its start, again and again, fails the one call that asked, with the last words', async () => {
    agents.onStart = (agent) => {
      agent.manner = 'silent';
      setImmediate(() => agent.die('cannot find node-pty'));
    };
    const asked = bench.supervisor.ensure(ID, never);
    asked.catch(() => {});
    await clock.advanceAsync(5000);
    await expect(asked).rejects.toMatchObject({ reason: 'SANDBOX_FAILED' });
    expect(agents.starts).toHaveLength(5);
    expect(records.failures.get(ID)).toContain('cannot find node-pty');
    expect(bench.losses).toEqual([]);
    expect(agents.running.size).toBe(0);
  });
});

describe('end', () => {
  test('shuts the agent down, ends the box by its handle, and reports no loss', async () => {
    await bench.supervisor.ensure(ID, never);
    await Promise.all([bench.supervisor.end(ID), bench.supervisor.end(ID)]);
    expect(agents.shutdowns).toEqual([DIRECTORY]);
    expect(agents.destroyed).toEqual([records.agentRecord(ID)]);
    expect(bench.losses).toEqual([]);
  });

  test('ends a box that this supervisor never saw', async () => {
    records.add(ID, { bootId: 'bot1', handle: 'a handle', uid: 70_001 });
    await bench.supervisor.end(ID);
    expect(agents.destroyed).toMatchObject([{ handle: 'a handle', uid: 70_001 }]);
  });

  test('does not wait for an agent that ignores Shutdown', async () => {
    agents.ignoresShutdown = true;
    await bench.supervisor.ensure(ID, never);
    const ended = bench.supervisor.end(ID);
    await clock.advanceAsync(3000);
    await ended;
    expect(agents.running.size).toBe(0);
  });

  test('calls off a start that is under way', async () => {
    const gate = deferred<void>();
    agents.startGate = gate.promise;
    const asked = bench.supervisor.ensure(ID, never);
    asked.catch(() => {});
    await settled();
    const ended = bench.supervisor.end(ID);
    gate.resolve();
    await ended;
    await expect(asked).rejects.toMatchObject({ reason: 'AGENT_UNAVAILABLE' });
    expect(agents.running.size).toBe(0);
  });

  test('can be tried again after it failed', async () => {
    await bench.supervisor.ensure(ID, never);
    const destroy = agents.destroy.bind(agents);
    agents.destroy = () => Promise.reject(new Error('a process would not die'));
    await expect(bench.supervisor.end(ID)).rejects.toThrow('would not die');
    agents.destroy = destroy;
    await bench.supervisor.end(ID);
    expect(agents.running.size).toBe(0);
  });
});

test('close ends the agents of all sandboxes if that is wanted', async () => {
  const ids = Array.from({ length: 40 }, (_, index) => `sbx-${index}`);
  for (const id of ids) records.add(id);
  await Promise.all(ids.map((id) => bench.supervisor.ensure(id, never)));
  expect(agents.running.size).toBe(40);
  await bench.supervisor.close({ endAgents: true });
  expect(agents.running.size).toBe(0);
  expect(bench.losses).toEqual([]);
});

test('setExpiry tells the agent, which ends itself a little after the gateway would', async () => {
  await bench.supervisor.ensure(ID, never);
  bench.supervisor.setExpiry(ID, 5000);
  bench.supervisor.setExpiry('sbx2', 5000);
  await settled();
  expect(agents.agent(DIRECTORY).expiries).toEqual([7000]);
});
