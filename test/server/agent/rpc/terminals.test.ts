import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TerminalStatus } from '../../../../gen/computesdk/v1/terminal_pb.ts';
import { newId } from '../../../../server/core/id.ts';
import { environmentHas, expectNoProcess, readProcess } from '../../../support/processes.ts';
import { until } from '../../../support/until.ts';
import { actor, BOB } from '../support/actors.ts';
import { AgentProcess, ALICE } from '../support/agent-process.ts';
import { RemoteTerminal, refusalOf } from '../support/remote-terminal.ts';

const previousBootId = newId('bot');
let agent: AgentProcess;
let terminals: ReturnType<AgentProcess['terminals']>;

beforeAll(async () => {
  agent = await AgentProcess.start({ previousBootIds: [previousBootId] });
  terminals = agent.terminals();
});

afterAll(() => agent[Symbol.asyncDispose]());

describe('CreateTerminal', () => {
  it('shows the prompt and the exit code of a shell', async () => {
    const terminal = await RemoteTerminal.create(terminals);
    const stream = terminal.attach();
    await stream.seen('$ ');
    await terminal.type('exit 7\n');
    expect(await stream.ended).toBeUndefined();
    expect(await stream.first('exited')).toMatchObject({ exitCode: 7, signal: '' });
  });

  it('applies size, directory, environment, name and arguments', async () => {
    mkdirSync(join(agent.directory, 'inner'), { recursive: true });
    const response = await terminals.createTerminal({
      shell: 'bash',
      args: [
        '--norc',
        '-c',
        'stty size; pwd -P; echo "$GIVEN $TERM $#" "$@"; sleep 30',
        'sh',
        'a b',
      ],
      cwd: '/project/inner',
      env: { GIVEN: 'yes' },
      ...{ cols: 100, rows: 40, name: 'build' },
      readerLease: { seconds: 30n },
    });
    const { terminal, readerId, writerId } = response;
    expect(terminal).toMatchObject({
      ...{ name: 'build', cols: 100, rows: 40, pty: true, cwd: '/project/inner' },
      ...{
        shell: '/usr/bin/bash',
        status: TerminalStatus.RUNNING,
        incarnation: agent.config.bootId,
      },
    });
    const remote = new RemoteTerminal(terminals, { id: terminal?.id ?? '', readerId, writerId });
    const stream = remote.attach();
    await stream.seen('yes xterm-256color 1 a b');
    expect(stream.text).toContain(`40 100\r\n${join(agent.directory, 'inner')}\r\n`);
    await terminals.destroyTerminal({ terminalId: remote.id });
    await stream.ended;
  });

  it('runs the shell on pipes without a pseudo terminal', async () => {
    const terminal = await RemoteTerminal.create(terminals, { pty: false, args: [] });
    const stream = terminal.attach();
    await terminal.type('tty; echo error >&2; ls -l /proc/$$/fd; exit 3\n');
    await stream.ended;
    expect(stream.text).toMatch(/^not a tty\nerror\n/);
    expect(stream.text.match(/ -> /g)).toHaveLength(3);
    expect(await stream.first('exited')).toMatchObject({ exitCode: 3 });
    expect(stream.all('resized')).toEqual([]);
  });

  it('gives the same terminal for the same request id, and starts one program', async () => {
    const options = { requestId: 'again', args: ['-c', 'sleep 30'] };
    const [first, second] = await Promise.all([
      RemoteTerminal.create(terminals, options),
      RemoteTerminal.create(terminals, options),
    ]);
    const third = await RemoteTerminal.create(terminals, options);
    expect([second.id, third.id]).toEqual([first.id, first.id]);
    expect([third.writerId, third.readerId]).toEqual([first.writerId, first.readerId]);
    const successor = agent.terminals({ ...ALICE, ...actor('bob', 'tok2', 'alice') });
    const straddling = await RemoteTerminal.create(successor, options);
    expect([straddling.id, straddling.writerId]).toEqual([first.id, first.writerId]);
    const other = agent.terminals({ ...ALICE, ...BOB });
    const foreign = await RemoteTerminal.create(other, options);
    expect(foreign.id).not.toBe(first.id);
    for (const { id } of [first, foreign]) await terminals.destroyTerminal({ terminalId: id });
  });

  it.each([
    ['FailedPrecondition SPAWN_FAILED shell', { shell: '/no/such/shell' }],
    ['FailedPrecondition SPAWN_FAILED shell', { shell: 'no-such-shell' }],
    ['FailedPrecondition SPAWN_FAILED shell', { shell: '/etc/passwd' }],
    ['FailedPrecondition SPAWN_FAILED shell', { shell: '/etc' }],
    ['InvalidArgument INVALID_ARGUMENT shell', { shell: 'bin/sh' }],
    ['FailedPrecondition SPAWN_FAILED cwd', { cwd: '/project/no-such-directory' }],
    ['FailedPrecondition SPAWN_FAILED cwd', { cwd: '/project/file' }],
    ['InvalidArgument INVALID_ARGUMENT cwd', { cwd: 'project' }],
    ['InvalidArgument INVALID_ARGUMENT cwd', { cwd: '/a\0b' }],
    ['InvalidArgument INVALID_ARGUMENT cols', { cols: 0 }],
    ['InvalidArgument INVALID_ARGUMENT rows', { rows: 70_000 }],
    ['InvalidArgument INVALID_ARGUMENT name', { name: 'x'.repeat(129) }],
    ['InvalidArgument INVALID_ARGUMENT requestId', { requestId: 'x'.repeat(129) }],
    ['InvalidArgument INVALID_ARGUMENT env', { env: { 'A=B': '' } }],
    ['InvalidArgument INVALID_ARGUMENT env', { env: { A: 'x'.repeat(32_769) } }],
    ['InvalidArgument INVALID_ARGUMENT env', { env: { COMPUTESDK_TERMINAL_ID: 'x' } }],
    ['InvalidArgument INVALID_ARGUMENT args', { args: ['a\0b'] }],
    ['InvalidArgument INVALID_ARGUMENT readerLease', { readerLease: { seconds: 601n } }],
  ])('answers %s in case %# and starts nothing', async (refusal, options) => {
    writeFileSync(join(agent.directory, 'file'), '');
    const before = (await terminals.listTerminals({})).terminals.length;
    expect(await refusalOf(terminals.createTerminal(options))).toBe(refusal);
    expect((await terminals.listTerminals({})).terminals).toHaveLength(before);
  });
});

describe('a terminal id', () => {
  it('of an earlier agent is lost, one that never was is not found, a malformed one is invalid', async () => {
    const get = (terminalId: string) => refusalOf(terminals.getTerminal({ terminalId }));
    const lost = `trm${previousBootId.slice(3, 9)}${newId('trm').slice(9)}`;
    expect(await get(lost)).toBe('DataLoss LOST');
    expect(await get(newId('trm'))).toBe('NotFound NOT_FOUND terminalId');
    expect(await get('trm1')).toBe('InvalidArgument INVALID_ARGUMENT terminalId');
    expect(await get('')).toBe('InvalidArgument INVALID_ARGUMENT terminalId');
    const write = terminals.writeTerminal({ terminalId: lost, data: Buffer.from('x') });
    expect(await refusalOf(write)).toBe('DataLoss LOST');
  });
});

describe('ListTerminals', () => {
  it('lists live and exited ones, oldest first', async () => {
    const first = await RemoteTerminal.run(terminals, 'exit 9');
    await first.outputToEnd();
    const second = await RemoteTerminal.run(terminals, 'sleep 30');
    const list = (await terminals.listTerminals({})).terminals;
    const [exited, live] = list.slice(-2);
    expect(exited).toMatchObject({ id: first.id, status: TerminalStatus.EXITED, exitCode: 9 });
    expect(live).toMatchObject({ id: second.id, status: TerminalStatus.RUNNING });
    await terminals.destroyTerminal({ terminalId: second.id });
  });
});

describe('SignalTerminal', () => {
  it('reaches the foreground program, not the shell', async () => {
    const terminal = await RemoteTerminal.create(terminals);
    const stream = terminal.attach();
    const program = 'trap "echo got-int; exit" INT; echo on-$((1+1)); while :; do sleep 0.05; done';
    await terminal.type(`bash -c '${program}'\n`);
    await stream.seen('on-2');
    await terminals.signalTerminal({ terminalId: terminal.id, signal: 'SIGINT' });
    await stream.seen('got-int\r\n');
    await terminal.type('exit 4\n');
    await stream.ended;
    expect(await stream.first('exited')).toMatchObject({ exitCode: 4 });
  });

  it('ends a program with the signal, and no exit code', async () => {
    for (const pty of [true, false]) {
      const terminal = await RemoteTerminal.run(terminals, 'echo on; sleep 30; :', { pty });
      const stream = terminal.attach();
      await stream.seen('on');
      await terminals.signalTerminal({ terminalId: terminal.id, signal: 'SIGKILL' });
      await stream.ended;
      const exited = await stream.first('exited');
      expect([exited.exitCode, exited.signal]).toEqual([undefined, 'SIGKILL']);
    }
  });

  it('refuses other signals, and an exited terminal', async () => {
    const terminal = await RemoteTerminal.run(terminals, ':');
    await terminal.outputToEnd();
    const send = (signal: string) =>
      refusalOf(terminals.signalTerminal({ terminalId: terminal.id, signal }));
    expect(await send('SIGSEGV')).toBe('InvalidArgument INVALID_ARGUMENT signal');
    expect(await send('SIGINT')).toBe('FailedPrecondition EXITED');
  });
});

describe('DestroyTerminal', () => {
  it('leaves no process, however it detached itself, and ends streams with the exit', async () => {
    const terminal = await RemoteTerminal.create(terminals);
    const stream = terminal.attach();
    await terminal.type('nohup sleep 301 >/dev/null 2>&1 &\n');
    await terminal.type('setsid sleep 302 & (setsid setsid sleep 303 >/dev/null 2>&1 &)\n');
    await terminal.type("(trap '' TERM HUP; exec sleep 304) & sleep 305 & kill -STOP $!\n");
    await terminal.type('sleep 0.3; echo all-$((1+1))\n');
    await stream.seen('all-2');
    const marked = (pid: number) => environmentHas(pid, terminal.id);
    const shell = await terminals.getTerminal({ terminalId: terminal.id });
    expect(shell.terminal?.status).toBe(TerminalStatus.RUNNING);
    await terminals.destroyTerminal({ terminalId: terminal.id });
    await expectNoProcess('processes of the terminal', ({ pid }) => marked(pid), 100);
    expect(await stream.ended).toBeUndefined();
    expect(stream.all('exited')).toHaveLength(1);
    const get = terminals.getTerminal({ terminalId: terminal.id });
    expect(await refusalOf(get)).toBe('NotFound NOT_FOUND terminalId');
    await terminals.destroyTerminal({ terminalId: terminal.id });
  });

  it('also ends what an exited program left behind', async () => {
    // The shell stays until the program has detached itself, or its exit would hang it up.
    const detached = 'until grep -q sleep /proc/$!/comm; do :; done';
    const script = `nohup setsid sleep 306 >/dev/null 2>&1 & ${detached}; echo $!`;
    const terminal = await RemoteTerminal.run(terminals, script);
    const pid = Number((await terminal.outputToEnd()).trim());
    await until(() => readProcess(pid)?.command === 'sleep 306', { what: 'the left program' });
    await terminals.destroyTerminal({ terminalId: terminal.id });
    await expectNoProcess('left programs', (info) => info.pid === pid, 100);
  });
});

it('gives 50 shells at once descriptors 0, 1 and 2 only, and nothing of its own environment', async () => {
  const open = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      RemoteTerminal.create(terminals, { pty: index % 10 > 0 }),
    ),
  );
  for (const terminal of open.slice(10, 20)) {
    await terminals.destroyTerminal({ terminalId: terminal.id });
  }
  const again = await Promise.all(
    Array.from({ length: 10 }, () => RemoteTerminal.create(terminals)),
  );
  const shells = [...open.slice(0, 10), ...open.slice(20), ...again];
  for (const terminal of shells) {
    const stream = terminal.attach();
    await terminal.type('ls -l /proc/$$/fd; env; echo end-$((1+1))\n');
    await stream.seen('end-2');
    // 255 is how an interactive bash holds its own terminal.
    const others = [...stream.text.matchAll(/ (\d+) -> (\S+)/g)].filter(
      ([, number]) => Number(number) > 2 && number !== '255',
    );
    expect(others).toEqual([]);
    expect(stream.text).not.toMatch(/AGENT_SECRET|NODE_/);
    await stream.leave();
  }
  await Promise.all(shells.map(({ id }) => terminals.destroyTerminal({ terminalId: id })));
}, 30_000);

it('refuses the 65th live terminal by name of the limit', async () => {
  const live = (await terminals.listTerminals({})).terminals.filter(
    ({ status }) => status === TerminalStatus.RUNNING,
  );
  const missing = Array.from({ length: 64 - live.length }, () =>
    RemoteTerminal.create(terminals, { shell: '/bin/sleep', args: ['60'] }),
  );
  const created = await Promise.all(missing);
  const refusal = await refusalOf(terminals.createTerminal({}));
  expect(refusal).toBe('ResourceExhausted LIMIT_REACHED');
  await Promise.all(created.map(({ id }) => terminals.destroyTerminal({ terminalId: id })));
  const one = await RemoteTerminal.run(terminals, ':');
  await one.outputToEnd();
});
