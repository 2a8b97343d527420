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

describe('ensure', () => {
  test('starts one agent for all who ask at once, and keeps its boot id and handle', async () => {
    const asked = [1, 2, 3].map(() => bench.supervisor.ensure(ID, never));
    const endpoints = await Promise.all(asked);
    expect(endpoints).toEqual(Array(3).fill({ socketPath: DIRECTORY }));
    expect(agents.starts).toHaveLength(1);
    const bootId = agents.starts[0]?.agent.bootId;
    expect(records.agentRecord(ID)).toMatchObject({ bootId, handle: `handle of ${bootId}` });
    await bench.supervisor.ensure(ID, never);
    expect(agents.starts).toHaveLength(1);
  });

  test('lets one caller leave without ending the start', async () => {
    const gate = deferred<void>();
    agents.startGate = gate.promise;
    const leaver = new AbortController();
    const first = bench.supervisor.ensure(ID, leaver.signal);
    const second = bench.supervisor.ensure(ID, never);
    leaver.abort(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    gate.resolve();
    await expect(second).resolves.toEqual({ socketPath: DIRECTORY });
  });

  test('finds the agent that an earlier gateway left', async () => {
    await bench.supervisor.ensure(ID, never);
    await bench.restart();
    expect(agents.agent(DIRECTORY).isGreeted).toBe(false);
    await bench.supervisor.ensure(ID, never);
    expect(agents.starts).toHaveLength(1);
    expect(agents.destroyed).toEqual([]);
  });

  test.each([
    ['another sandbox', { sandboxId: 'sbx2' }],
    ['another boot', { bootId: 'bot-other' }],
    ['a protocol version of the future', { protocolVersion: 2 }],
    ['a nonsensical protocol version', { protocolVersion: 2 ** 32 - 1 }],
  ])('ends an agent that claims to be of %s, and starts anew', async (_what, claim) => {
    await bench.supervisor.ensure(ID, never);
    const before = records.agentRecord(ID);
    await bench.restart();
    const agent = agents.agent(DIRECTORY);
    agent.identity = { ...agent.identity, ...claim };
    await bench.supervisor.ensure(ID, never);
    expect(agents.starts).toHaveLength(2);
    expect(agents.destroyed).toEqual([before]);
    expect(agents.starts[1]?.agent.previousBootIds).toEqual([before?.bootId]);
  });

  test('takes an agent that speaks the protocol version before this one', async () => {
    agents.onStart = (agent) => {
      agent.identity = { ...agent.identity, protocolVersion: 0 };
    };
    await bench.supervisor.ensure(ID, never);
    expect(agents.starts).toHaveLength(1);
  });

  test('gives up an agent that takes the greeting and never answers, after 10 s', async () => {
    let starts = 0;
    agents.onStart = (agent) => {
      starts += 1;
      if (starts === 1) agent.manner = 'silent';
    };
    const asked = bench.supervisor.ensure(ID, never);
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
    await bench.supervisor.ensure(ID, never);
    expect(starts).toBe(2);
  });

  test('starts no agent for a sandbox that is unknown or at its end', async () => {
    await expect(bench.supervisor.ensure('sbx2', never)).rejects.toMatchObject({
      reason: 'NOT_FOUND',
    });
    records.add('sbx3', { expiresAt: clock.now() });
    const late = bench.supervisor.ensure('sbx3', never);
    await expect(late).rejects.toMatchObject({ reason: 'AGENT_UNAVAILABLE' });
    expect(agents.starts).toEqual([]);
  });

  test('leaves no box behind when the store does not take the boot id', async () => {
    records.broken = true;
    await expect(bench.supervisor.ensure(ID, never)).rejects.toMatchObject({ reason: 'INTERNAL' });
    expect(agents.running.size).toBe(0);
    records.broken = false;
    await bench.supervisor.ensure(ID, never);
  });

  test('is refused once the supervisor was closed', async () => {
    await bench.supervisor.close({ endAgents: false });
    await expect(bench.supervisor.ensure(ID, never)).rejects.toMatchObject({
      reason: 'SHUTTING_DOWN',
    });
  });
});

describe('adopt', () => {
  test('greets a running agent and tells it the expiry that may have moved', async () => {
    await bench.supervisor.ensure(ID, never);
    await bench.restart();
    const record = records.agentRecord(ID);
    records.add(ID, { ...record, expiresAt: clock.now() + 60_000 });
    await bench.supervisor.adopt(ID);
    expect(agents.agent(DIRECTORY).isGreeted).toBe(true);
    expect(agents.agent(DIRECTORY).expiries).toEqual([clock.now() + 62_000]);
    agents.agent(DIRECTORY).die();
    await settled();
    expect(bench.losses).toHaveLength(1);
  });

  test('that comes too early does no harm: who asks later finds the agent all the same', async () => {
    await bench.supervisor.ensure(ID, never);
    await bench.restart();
    agents.agent(DIRECTORY).manner = 'silent';
    const early = bench.supervisor.adopt(ID);
    await clock.advanceAsync(11_000);
    await early;
    agents.agent(DIRECTORY).manner = 'polite';
    await bench.supervisor.ensure(ID, never);
    expect(agents.starts).toHaveLength(1);
  });

  test('starts none, and says nothing, when there is none', async () => {
    await bench.supervisor.adopt(ID);
    await bench.supervisor.adopt('sbx2');
    records.add(ID, { bootId: 'bot1' });
    await bench.restart();
    await bench.supervisor.adopt(ID);
    expect(agents.starts).toEqual([]);
    expect(bench.losses).toEqual([]);
  });
});
