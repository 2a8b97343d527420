import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterEach, describe, expect, it } from 'vitest';
import { environmentHas, expectNoProcess } from '../../../support/processes.ts';
import { within } from '../../../support/until.ts';
import { AgentProcess } from '../support/agent-process.ts';
import { RemoteTerminal, refusalOf } from '../support/remote-terminal.ts';

/** It does not wait for the threads of Node.js, which may never end. */
const KILLED_ITSELF = [null, 'SIGKILL'];

const agents: AgentProcess[] = [];

async function start(...options: Parameters<typeof AgentProcess.start>): Promise<AgentProcess> {
  const agent = await AgentProcess.start(...options);
  agents.push(agent);
  return agent;
}

afterEach(async () => {
  for (const agent of agents.splice(0)) await agent[Symbol.asyncDispose]();
});

const ended = (agent: AgentProcess) =>
  within(once(agent.child, 'exit'), { what: 'the end of the agent' });

/** A terminal with a program that detached itself and one that heeds no TERM. */
async function busyTerminal(agent: AgentProcess): Promise<RemoteTerminal> {
  const script =
    'setsid sleep 601 >/dev/null & trap "" TERM HUP; echo on; while :; do sleep 1; done';
  const terminal = await RemoteTerminal.run(agent.terminals(), script);
  await terminal.attach().seen('on');
  return terminal;
}

async function expectNothingLeft(terminal: RemoteTerminal): Promise<void> {
  await expectNoProcess('programs', ({ pid }) => environmentHas(pid, terminal.id), 100);
}

describe('Supervise', () => {
  it('says who the agent is, that it lives, and ends at once when it is killed', async () => {
    const agent = await start();
    const events: string[] = [];
    const stream = agent.supervisor().supervise({ protocolVersion: 1 });
    const iterator = stream[Symbol.asyncIterator]();
    const first = await iterator.next();
    const { sandboxId, bootId } = agent.config;
    expect(first.value?.event).toMatchObject({
      case: 'hello',
      value: { sandboxId, bootId, protocolVersion: 1 },
    });
    events.push((await iterator.next()).value?.event.case ?? '');
    expect(events).toEqual(['keepAlive']);
    const next = iterator.next();
    next.catch(() => {});
    agent.child.kill('SIGKILL');
    await within(expect(next).rejects.toThrow(), { what: 'the end of the stream' });
  });
});

describe('an agent', () => {
  it('ends every program and itself when it is told to shut down', async () => {
    const agent = await start();
    const terminal = await busyTerminal(agent);
    const end = ended(agent);
    await agent.supervisor().shutdown({});
    await expectNothingLeft(terminal);
    expect(await end).toEqual(KILLED_ITSELF);
  });

  it('ends every program and itself on SIGTERM, while streams are open', async () => {
    const agent = await start();
    const terminal = await busyTerminal(agent);
    const end = ended(agent);
    agent.child.kill('SIGTERM');
    expect(await end).toEqual(KILLED_ITSELF);
    await expectNothingLeft(terminal);
  });

  it('ends when its sandbox expires', async () => {
    const agent = await start();
    const end = ended(agent);
    const client = agent.supervisor();
    expect(await refusalOf(client.setExpiry({}))).toBe(
      'InvalidArgument INVALID_ARGUMENT expiresAt',
    );
    await client.setExpiry({ expiresAt: timestampFromMs(Date.now() + 300) });
    expect(await end).toEqual(KILLED_ITSELF);
  });

  it('ends when no gateway greets it for its grace, and lives on while one does', async () => {
    const agent = await start({ graceMs: 1500 });
    const abort = new AbortController();
    const stream = agent.supervisor().supervise({}, { signal: abort.signal });
    const greeted = (async () => {
      for await (const _ of stream);
    })().catch(() => {});
    const terminal = await RemoteTerminal.run(agent.terminals(), 'sleep 2; echo done');
    expect(await terminal.outputToEnd()).toContain('done');
    const end = ended(agent);
    abort.abort();
    await greeted;
    expect(await end).toEqual(KILLED_ITSELF);
  });

  it('survives requests that are none, and answers them without a 500', async () => {
    const agent = await start();
    await agent.terminals().listTerminals({});
    const path = '/computesdk.v1.TerminalService/ListTerminals';
    const requests = [
      `POST ${path} HTTP/1.1\r\n\r\n`,
      `POST ${path} HTTP/1.1\r\nHost: [\r\nContent-Length: 2\r\n\r\n{}`,
      `POST // HTTP/1.1\r\nHost: a\r\n\r\n`,
      `POST /computesdk.v1.TerminalService/NoSuchMethod HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`,
      `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/proto\r\nContent-Length: 3\r\n\r\nabc`,
      `GARBAGE\r\n\r\n`,
    ];
    const statuses = await Promise.all(requests.map((text) => statusOf(agent.socketPath, text)));
    for (const status of statuses) expect(status).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect((await agent.terminals().listTerminals({})).terminals).toEqual([]);
  });

  it('names the field of its configuration that is wrong', async () => {
    const main = new URL('../../../../server/agent/main.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [main, '{"sandboxId":"sbx"}'], { env: {} });
    let stderr = '';
    child.stderr.on('data', (data: Buffer) => {
      stderr += data;
    });
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(stderr).toContain("bootId of the agent's configuration is missing or malformed");
  });
});

async function statusOf(socketPath: string, text: string): Promise<string> {
  const socket = connect(socketPath);
  socket.write(text);
  const [data]: Buffer[] = await within(once(socket, 'data'), { what: `an answer to ${text}` });
  socket.destroy();
  return data?.toString().split('\r\n')[0] ?? '';
}
