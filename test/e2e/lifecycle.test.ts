import { existsSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { Sandbox, type SandboxErrorCode } from '../../client/index.ts';
import { gatewayClients, newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { report } from '../support/report.ts';
import { timeBound } from '../support/time-bound.ts';
import { Reader, runInBox } from '../support/traffic.ts';
import { TRANSPORTS } from '../support/transports.ts';
import { until } from '../support/until.ts';

const TOLD_WITHIN_MS = 1_000;
const CLIENTS = 5;

describe('the death of an agent', () => {
  it('is told to every client within 1 s, and the sandbox works again with its files', async () => {
    await using gateway = await TestGateway.start();
    const { sandbox, token } = await newSandbox(gateway);
    const told: { code: SandboxErrorCode; at: number }[] = [];
    const exits: unknown[] = [];
    const clients: Sandbox[] = [];
    for (let index = 0; index < CLIENTS; index++) {
      const transport = TRANSPORTS[index % TRANSPORTS.length];
      const client = await Sandbox.connect({ url: sandbox.url, token, transport });
      const terminal = await client.terminal.create();
      const reader = new Reader(terminal);
      terminal.on('error', ({ code }) => told.push({ code, at: performance.now() }));
      terminal.on('exit', (exit) => exits.push(exit));
      await until(() => reader.bytes > 0, { what: 'a prompt' });
      clients.push(client);
    }
    const [first] = clients;
    if (!first) throw new Error('no client');
    await runInBox(first, 'echo kept > /project/file');

    const killedAt = performance.now();
    for (const pid of gateway.agentPids(sandbox.id)) process.kill(pid, 'SIGKILL');
    await until(() => told.length >= CLIENTS, { what: 'every client to be told' });
    const toldMs = Math.max(...told.map(({ at }) => at)) - killedAt;
    const text = await runInBox(first, 'cat /project/file');
    const worksMs = performance.now() - killedAt;
    report({ test: 'kill -9 of an agent', count: CLIENTS, figures: { toldMs, worksMs } });

    expect(told.map(({ code }) => code)).toEqual(Array.from({ length: CLIENTS }, () => 'lost'));
    expect(exits).toEqual([]);
    expect(toldMs).toBeLessThanOrEqual(await timeBound(TOLD_WITHIN_MS));
    expect(text).toBe('kept\n');
    await Promise.all(clients.map((client) => client.disconnect()));
  }, 60_000);
});

describe('a gateway that is gone', () => {
  it('does not keep a sandbox from expiring', async () => {
    await using gateway = await TestGateway.start();
    const clients = gatewayClients(gateway);
    const { sandbox } = await clients.sandboxes.createSandbox({ timeout: { seconds: 4n } });
    if (!sandbox) throw new Error('no sandbox');
    await gateway.kill('SIGKILL');
    expect(gateway.agentPids(sandbox.id)).toHaveLength(1);
    await until(() => gateway.leftovers().length === 0, { what: 'the box to end by itself' });
    await gateway.restart();
    await expect(clients.sandboxes.getSandbox({ sandboxId: sandbox.id })).rejects.toSatisfy(
      isNotFound,
    );
    await until(() => !holds(gateway.dataDirectory, sandbox.id), {
      what: 'its files to be deleted',
    });
  }, 60_000);

  it.for(TRANSPORTS)(
    'by SIGTERM leaves the programs, which a new gateway finds, %s',
    { timeout: 60_000 },
    async (transport) => {
      await using gateway = await TestGateway.start();
      const { sandbox, token } = await newSandbox(gateway);
      await using client = await Sandbox.connect({ url: sandbox.url, token, transport });
      const terminal = await client.terminal.create({ shell: '/bin/sh' });
      const reader = new Reader(terminal);
      await terminal.write('memory=kept\n');
      const [agent] = gateway.agentPids(sandbox.id);
      expect(await gateway.kill('SIGTERM')).toEqual({ code: 0, signal: null });
      expect(gateway.agentPids(sandbox.id)).toEqual([agent]);
      await gateway.restart();
      await terminal.write('echo "it is $memory"\n');
      await until(() => reader.text.includes('it is kept'), {
        what: 'the answer of the same shell',
      });
      expect(gateway.agentPids(sandbox.id)).toEqual([agent]);
    },
  );

  it.for(TRANSPORTS)(
    'by Ctrl-C leaves nothing: no process, no socket that listens, %s',
    { timeout: 60_000 },
    async (transport) => {
      const gateway = await TestGateway.start();
      const { sandbox, token } = await newSandbox(gateway);
      const client = await Sandbox.connect({ url: sandbox.url, token, transport });
      await client.terminal.create({
        shell: '/bin/sh',
        args: ['-c', 'trap "" TERM INT HUP; sleep 1000 & setsid sleep 1000'],
      });
      expect(await gateway.kill('SIGINT')).toEqual({ code: 0, signal: null });
      expect(gateway.leftovers()).toEqual([]);
      expect(await refuses(gateway.port)).toBe(true);
      await client.disconnect();
      await gateway.stop();
      expect(existsSync(gateway.dataDirectory)).toBe(false);
    },
  );
});

it('refuses to start beside another gateway on the same data directory', async () => {
  await using gateway = await TestGateway.start();
  const { dataDirectory, apiKey } = gateway;
  const second = TestGateway.start({ dataDirectory, env: { COMPUTESDK_API_KEY: apiKey } });
  await expect(second).rejects.toThrow(/ended \(1\) before it was ready/);
  await expect(second).rejects.toThrow(dataDirectory);
  // The first one is none the worse.
  await newSandbox(gateway);
}, 60_000);

function isNotFound(error: unknown): boolean {
  return ConnectError.from(error).code === Code.NotFound;
}

/** Not read recursively: what is being deleted meanwhile cannot be. */
function holds(directory: string, sandboxId: string): boolean {
  return readdirSync(join(directory, 'sandboxes')).some((name) => name.includes(sandboxId));
}

async function refuses(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' });
  try {
    return await new Promise((resolve) => {
      socket.once('connect', () => resolve(false)).once('error', () => resolve(true));
    });
  } finally {
    socket.destroy();
  }
}
