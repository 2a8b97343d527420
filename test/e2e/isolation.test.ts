import { randomInt } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Sandbox, type Terminal } from '../../client/index.ts';
import { gatewayClients, newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { expectNoProcess, listProcesses } from '../support/processes.ts';
import { Reader, runInBox } from '../support/traffic.ts';
import { until } from '../support/until.ts';

const TERMINALS = 50;
const NEIGHBOUR_PORT = 8_123;
const CANARY = `canary-${randomInt(2 ** 40)}`;
/** Everything that a program in a box may find in its environment. */
const ENVIRONMENT = [
  'COMPUTESDK_TERMINAL_ID',
  'HOME',
  'LANG',
  'LOGNAME',
  'PATH',
  'PWD',
  'SHELL',
  'SHLVL',
  'TERM',
  'USER',
  'COLORTERM',
  '_',
];
const isRoot = process.getuid?.() === 0;

let gateway: TestGateway;
let sandboxId: string;
let sandbox: Sandbox;

beforeAll(async () => {
  gateway = await TestGateway.start({ env: { SOME_SECRET: CANARY, DATABASE_PASSWORD: CANARY } });
  const created = await newSandbox(gateway);
  sandboxId = created.sandbox.id;
  sandbox = await Sandbox.connect({ url: created.sandbox.url, token: created.token });
}, 60_000);
afterAll(async () => {
  await sandbox.disconnect();
  await gateway.stop();
}, 60_000);

describe('50 terminals', () => {
  const terminals: Terminal[] = [];
  const outputs: string[] = [];

  beforeAll(async () => {
    const script =
      'echo FDS; ls -1 /proc/$$/fd; echo ENV; tr "\\0" "\\n" < /proc/$$/environ; echo; echo END; exec sleep 600';
    const readers: Reader[] = [];
    for (let index = 0; index < TERMINALS; index++) {
      const terminal = await sandbox.terminal.create({
        pty: index % 5 > 0,
        shell: '/bin/sh',
        args: ['-c', script],
      });
      terminals.push(terminal);
      readers.push(new Reader(terminal));
    }
    await until(() => readers.every(({ text }) => text.includes('END')), {
      what: '50 outputs',
      withinMs: 30_000,
    });
    outputs.push(...readers.map(({ text }) => text.replaceAll('\r', '')));
  }, 60_000);

  it('have the file descriptors 0, 1 and 2 only', () => {
    const lists = outputs.map((text) => between(text, 'FDS', 'ENV').toSorted());
    expect(lists).toEqual(Array.from({ length: TERMINALS }, () => ['0', '1', '2']));
  });

  it('have no variable of the server in their environment', () => {
    for (const text of outputs) {
      const lines = between(text, 'ENV', 'END');
      expect(lines.length).toBeGreaterThan(3);
      const names = lines.map((line) => line.split('=')[0]);
      expect(names.filter((name) => !ENVIRONMENT.includes(name ?? ''))).toEqual([]);
      expect(text).not.toContain(CANARY);
      expect(text).not.toContain(gateway.apiKey);
    }
  });

  it('see no process of anyone else', async () => {
    const script =
      'for d in /proc/[0-9]*; do printf "%s\\n" "$(tr "\\0" " " < $d/cmdline)"; done; cat /proc/[0-9]*/environ | tr "\\0" "\\n" | grep -c canary';
    const lines = (await runInBox(sandbox, script))
      .trim()
      .split('\n')
      .map((line) => line.trim());
    expect(lines.pop()).toBe('0');
    const mine = new Set(hostProcesses().map(({ command }) => command));
    const transient = /^(tr |\/bin\/sh -c|$)/;
    expect(lines.length).toBeGreaterThan(TERMINALS);
    expect(lines.filter((line) => !mine.has(line) && !transient.test(line))).toEqual([]);
  });

  it('leave no process when they are destroyed', async () => {
    await Promise.all(terminals.map((terminal) => terminal.destroy()));
    await expectNoProcess(
      'sleepers of destroyed terminals',
      ({ uid, command }) => inBox(uid) && command === 'sleep 600',
    );
  });
});

it('gives an interactive shell no descriptor but its terminal', async () => {
  const terminal = await sandbox.terminal.create({ shell: '/bin/bash' });
  const reader = new Reader(terminal);
  void terminal.write('ls -l /proc/$$/fd; echo END""ED\n');
  await until(() => reader.text.includes('ENDED'), { what: 'the listing' });
  const targets = [...reader.text.matchAll(/(\d+) -> (\S+)/g)].map(([, fd, target]) => ({
    fd,
    target,
  }));
  // bash keeps a second descriptor of its terminal, 255.
  expect(targets.map(({ fd }) => fd).toSorted()).toEqual(['0', '1', '2', '255']);
  expect(new Set(targets.map(({ target }) => target)).size).toBe(1);
  await terminal.destroy();
});

it.runIf(isRoot)("keeps files under the box's own host user, never root", async () => {
  await runInBox(sandbox, 'echo text > /project/made-in-the-box; mkdir /project/folder');
  const path = findFile(gateway.dataDirectory, 'made-in-the-box');
  const { uid, gid } = statSync(path);
  expect(uid).toBeGreaterThanOrEqual(gateway.uids.first);
  expect(uid).toBeLessThanOrEqual(gateway.uids.last);
  expect(gid).not.toBe(0);
  expect(statSync(join(path, '..', 'folder')).uid).toBe(uid);
  const processes = hostProcesses();
  expect(processes.length).toBeGreaterThan(0);
  expect(processes.every((info) => info.uid === uid)).toBe(true);
});

it("cannot reach services of the host, nor a neighbour's", async () => {
  const connections = { loopback: 0, everywhere: 0 };
  await using loopback = await listen('127.0.0.1', () => connections.loopback++);
  await using everywhere = await listen('0.0.0.0', () => connections.everywhere++);
  const neighbourBox = await newSandbox(gateway);
  await using neighbour = await Sandbox.connect({
    url: neighbourBox.sandbox.url,
    token: neighbourBox.token,
  });
  const server = `use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => "0.0.0.0", LocalPort => ${NEIGHBOUR_PORT}) or die; print "listening\\n"; while (my $c = $s->accept) { close $c }`;
  const reader = new Reader(
    await neighbour.terminal.create({ shell: 'perl', args: ['-e', `$| = 1; ${server}`] }),
  );
  await until(() => reader.text.includes('listening'), { what: "the neighbour's server" });
  // The control: where the server is, it can be reached.
  expect(await reach(neighbour, ['127.0.0.1'], NEIGHBOUR_PORT)).toEqual(['open']);

  const hostAddresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const own = hostAddresses
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address);
  const slirp = ['10.0.2.2', '10.0.2.3', '10.0.2.100'];
  for (const port of [loopback.port, everywhere.port, gateway.port, NEIGHBOUR_PORT]) {
    const addresses = ['127.0.0.1', '::1', 'localhost', ...slirp, ...own];
    expect(await reach(sandbox, addresses, port), `port ${port}`).toEqual(
      addresses.map(() => 'closed'),
    );
  }
  expect(connections).toEqual({ loopback: 0, everywhere: 0 });
  await gatewayClients(gateway).sandboxes.destroySandbox({ sandboxId: neighbourBox.sandbox.id });
}, 90_000);

describe('what a program starts to outlive its terminal', () => {
  it('ends with the terminal, detached, ignoring signals and forked twice', async () => {
    const mark = `${randomInt(1e6, 1e7)}.25`;
    await startStragglers(sandbox, mark, ['', 'setsid', 'nohup']).then((terminal) =>
      terminal.destroy(),
    );
    await expectNoProcess('stragglers', ({ command }) => command.includes(mark));
  }, 30_000);

  it('ends with the sandbox, whatever it did', async () => {
    const mark = `${randomInt(1e6, 1e7)}.75`;
    const box = await newSandbox(gateway);
    await using connected = await Sandbox.connect({ url: box.sandbox.url, token: box.token });
    await startStragglers(connected, mark, ['', 'setsid', 'nohup', 'env -i setsid']);
    await gatewayClients(gateway).sandboxes.destroySandbox({ sandboxId: box.sandbox.id });
    const left = listProcesses().filter(
      ({ command }) => command.includes(mark) || command.includes(box.sandbox.id),
    );
    expect(left).toEqual([]);
  }, 30_000);
});

/** Starts sleepers, each ignoring TERM and HUP, in the background and forked twice. */
async function startStragglers(
  where: Sandbox,
  mark: string,
  prefixes: string[],
): Promise<Terminal> {
  const lines = prefixes.flatMap((prefix) => [
    `${prefix} sleep ${mark} &`,
    `(${prefix} sh -c "sleep ${mark} & sleep ${mark} &" &)`,
  ]);
  const script = `trap "" TERM HUP; ${lines.join('\n')}\necho started; exec sleep ${mark}`;
  const terminal = await where.terminal.create({ shell: '/bin/sh', args: ['-c', script] });
  const expected = prefixes.length * 3 + 1;
  const count = () => listProcesses().filter(({ command }) => command === `sleep ${mark}`).length;
  await until(() => count() === expected, { what: `${expected} stragglers (${count()})` });
  return terminal;
}

async function reach(from: Sandbox, addresses: string[], port: number): Promise<string[]> {
  const attempts = addresses.map(
    (address) =>
      `timeout 3 bash -c "exec 3<>/dev/tcp/${address}/${port}" 2>/dev/null && echo open || echo closed`,
  );
  const text = await runInBox(from, attempts.join('\n'));
  return text.trim().split('\n');
}

async function listen(
  host: string,
  onConnection: () => void,
): Promise<{ port: number } & AsyncDisposable> {
  const server: Server = createServer((socket) => {
    onConnection();
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  // A listening TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  return {
    port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

function between(text: string, start: string, end: string): string[] {
  return text
    .slice(text.indexOf(start) + start.length, text.indexOf(end))
    .split('\n')
    .filter(Boolean);
}

function inBox(uid: number): boolean {
  return !isRoot || (uid >= gateway.uids.first && uid <= gateway.uids.last);
}

/** What runs in the first sandbox, as the host sees it. */
function hostProcesses() {
  const [agent] = gateway.agentPids(sandboxId);
  const uid = listProcesses().find(({ pid }) => pid === agent)?.uid;
  return listProcesses().filter((info) => info.uid === uid);
}

function findFile(directory: string, name: string): string {
  const found = readdirSync(directory, { recursive: true, encoding: 'utf8' }).find((path) =>
    path.endsWith(name),
  );
  if (!found) throw new Error(`no ${name} in ${directory}`);
  return join(directory, found);
}
