import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../../server/core/clock.ts';
import type { DomainError } from '../../../../server/core/domain-error.ts';
import { silentLogger } from '../../../../server/core/log.ts';
import { type AgentProgram, findAgentProgram } from '../../../../server/driver/agent-program.ts';
import { BubblewrapDriver } from '../../../../server/driver/bubblewrap-driver.ts';
import type { Driver } from '../../../../server/driver/driver.ts';
import { ProcessDriver } from '../../../../server/driver/process-driver.ts';
import { AgentClient } from '../../../../server/gateway/rpc/agent-client.ts';
import { Supervisor } from '../../../../server/gateway/sandbox/agent-supervisor.ts';
import { listProcesses } from '../../../support/processes.ts';
import { report } from '../../../support/report.ts';
import { timeBound } from '../../../support/time-bound.ts';
import { until } from '../../../support/until.ts';
import { canBox } from '../../driver/support/availability.ts';
import { isRoot } from '../../driver/support/box-bench.ts';
import { FakeRecords } from './support/fake-agents.ts';

const ID = 'sbx0123456789abcdefghjkmnpqrs';
const UID = 67_123;
const never = new AbortController().signal;
const drivers: readonly (readonly [string, boolean, (program: AgentProgram) => Driver])[] = [
  ['process', true, (program) => new ProcessDriver({ program })],
  [
    'bubblewrap',
    await canBox('none'),
    (program) => new BubblewrapDriver({ program, egress: 'none' }),
  ],
];

for (const [name, isAvailable, open] of drivers) {
  describe.runIf(isAvailable)(`a real agent of the ${name} driver`, () => {
    let directory: string;
    let driver: Driver;
    let records: FakeRecords;
    let supervisor: Supervisor;
    let losses: DomainError[];
    let lostAt: number;

    const newSupervisor = (): Supervisor => {
      const created = new Supervisor({
        ...{ records, driver, clock: systemClock, logger: silentLogger },
        control: new AgentClient(systemClock),
        ...{ egress: 'none', graceMs: 60_000, agentLogLevel: 'info' },
      });
      created.onLost((_sandboxId, cause) => {
        lostAt = performance.now();
        losses.push(cause);
      });
      return created;
    };

    beforeAll(() => {
      driver = open(findAgentProgram());
    });
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), 'sandboxes-'));
      mkdirSync(join(directory, ID), { mode: 0o700 });
      records = new FakeRecords();
      losses = [];
      supervisor = newSupervisor();
      const uid = isRoot && driver.isolated ? { uid: UID } : {};
      const expiresAt = Date.now() + 600_000;
      records.add(ID, { directory: join(directory, ID), expiresAt, ...uid });
    });
    afterEach(async () => {
      await supervisor.end(ID);
      await supervisor.close({ endAgents: true });
      expect(agentPids()).toEqual([]);
      rmSync(directory, { recursive: true, force: true });
    });
    afterAll(() => driver.close());

    test('is started, killed, told of within 100 ms, and started anew with its files', async () => {
      await supervisor.ensure(ID, never);
      const first = records.agentRecord(ID)?.bootId;
      writeFileSync(join(directory, ID, 'project', 'kept'), 'kept');
      const killedAt = performance.now();
      for (const pid of agentPids()) process.kill(pid, 'SIGKILL');
      await until(() => losses.length === 1, { what: 'the loss is told' });
      expect(lostAt - killedAt).toBeLessThan(await timeBound(100));
      expect(losses[0]?.reason).toBe('AGENT_UNAVAILABLE');
      await supervisor.ensure(ID, never);
      expect(records.agentRecord(ID)?.previousBootIds).toEqual([first]);
      expect(readFileSync(join(directory, ID, 'project', 'kept'), 'utf8')).toBe('kept');
    });

    test('is found by the gateway after this one', async () => {
      await supervisor.ensure(ID, never);
      const before = agentPids();
      await supervisor.close({ endAgents: false });
      supervisor = newSupervisor();
      await supervisor.adopt(ID);
      await supervisor.ensure(ID, never);
      expect(agentPids()).toEqual(before);
      expect(records.agentRecord(ID)?.previousBootIds).toEqual([]);
    });

    test('ends itself when its sandbox expires and no gateway is there', async () => {
      await supervisor.ensure(ID, never);
      supervisor.setExpiry(ID, Date.now() + 1000);
      // Its answer is not waited for by anybody, so give the call its time before the gateway goes.
      await until(() => agentLog().includes('SetExpiry'), { what: 'the agent knows' });
      await supervisor.close({ endAgents: false });
      await until(() => agentPids().length === 0, { what: 'the agent ended itself' });
      supervisor = newSupervisor();
    });

    test('that was stopped is ended all the same', async () => {
      await supervisor.ensure(ID, never);
      for (const pid of agentPids()) process.kill(pid, 'SIGSTOP');
      await supervisor.end(ID);
      expect(agentPids()).toEqual([]);
    });

    test('answers its first call soon after it is asked for', async () => {
      const times: number[] = [];
      const fresh = records.agentRecord(ID);
      for (let start = 0; start < 7; start += 1) {
        records.add(ID, fresh);
        const from = performance.now();
        await supervisor.ensure(ID, never);
        times.push(performance.now() - from);
        await supervisor.end(ID);
      }
      const sorted = times.toSorted((a, b) => a - b);
      const figures = { 'median ms': sorted[3] ?? 0, 'worst ms': sorted[6] ?? 0 };
      report({ test: `${name}: agent spawn to first RPC`, count: times.length, figures });
      // An absolute figure says little on a shared machine; this only catches what went wrong.
      expect(sorted[3]).toBeLessThan(5000);
    });

    /** The agents themselves, without what their boxes consist of. */
    function agentPids(): number[] {
      return listProcesses()
        .filter(({ command, state }) => state !== 'Z' && command.includes(ID))
        .filter(({ command }) => /^\S*\bnode /.test(command))
        .map(({ pid }) => pid);
    }

    function agentLog(): string {
      return readFileSync(join(directory, ID, 'agent.log'), 'utf8');
    }
  });
}
