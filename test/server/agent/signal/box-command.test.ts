import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BoxCommand } from '../../../../server/agent/signal/box-command.ts';
import type { EmittedSignal } from '../../../../server/agent/signal/events.ts';
import { DomainError } from '../../../../server/core/domain-error.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { until } from '../../../support/until.ts';

const start = process.cwd();
let directory: string;
let home: string;
let emitted: EmittedSignal[];
let refusal: DomainError | undefined;
let command: BoxCommand;
let clock: FakeClock;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'box-'));
  // Deeper than the path of a socket may be.
  home = join(directory, 'x'.repeat(120));
  mkdirSync(home);
  emitted = [];
  refusal = undefined;
  clock = new FakeClock();
  command = open();
  await until(() => lstatSync(join(home, '.computesdk/signal.sock')), { what: 'the socket' });
});

afterEach(() => {
  command.close();
  rmSync(directory, { recursive: true, force: true });
});

function open(): BoxCommand {
  return BoxCommand.open({
    ...{ homeDirectory: home, node: process.execPath, clock },
    async emit(signal) {
      if (refusal) throw refusal;
      emitted.push(signal);
    },
    onFailed(error) {
      throw error;
    },
  });
}

/** Calls the command as a program does, and gives what it said. */
async function call(...args: string[]): Promise<string> {
  const env = { PATH: `/usr/bin:/bin:${command.binDirectory}` };
  try {
    const { stdout, stderr } = await promisify(execFile)('computesdk-signal', args, { env });
    return `0 ${stdout}${stderr}`;
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string };
    return `${code} ${stderr}`;
  }
}

/** Talks to the socket past the command. */
async function talk(message: string | Buffer): Promise<string> {
  process.chdir(join(home, '.computesdk'));
  const socket = connect('signal.sock');
  process.chdir(start);
  socket.on('error', () => {});
  socket.write(message);
  // One that is refused may be cut while it still talks.
  return text(socket).catch(() => '');
}

describe('the command in the box', () => {
  it('emits each kind of signal', async () => {
    expect(await call('error', 'it\'s "broken"\nbadly', 'build')).toBe('0 ');
    expect(await call('ready', '3000', '/docs')).toBe('0 ');
    expect(await call('ready', '3001')).toBe('0 ');
    expect(await call('port', '3002')).toBe('0 ');
    expect(await call('port', '3002', 'close')).toBe('0 ');
    expect(await call('emit', 'progress', '{"done":1}')).toBe('0 ');
    expect(emitted).toEqual([
      { type: 'error', message: 'it\'s "broken"\nbadly', source: 'build' },
      { type: 'serverReady', port: 3000, path: '/docs' },
      { type: 'serverReady', port: 3001, path: '' },
      { type: 'port', change: 'open', port: 3002 },
      { type: 'port', change: 'close', port: 3002 },
      { type: 'custom', name: 'progress', data: '{"done":1}' },
    ]);
  });

  it('says what was refused, how it is used, and that nobody answers', async () => {
    refusal = new DomainError('RATE_LIMITED', 'more than 20 signals in a second');
    expect(await call('error', 'x')).toBe(
      '1 computesdk-signal: more than 20 signals in a second\n',
    );
    expect(await call('nonsense', 'x')).toMatch(/^1 usage: /);
    expect(await call('error')).toMatch(/^1 usage: /);
    command.close();
    expect(await call('error', 'x')).toBe('1 computesdk-signal: the sandbox does not answer\n');
  });

  it('belongs to its user alone, and takes the place of what an earlier agent left', async () => {
    expect(statSync(join(home, '.computesdk')).mode & 0o077).toBe(0);
    command.close();
    writeFileSync(join(home, '.computesdk/signal.sock'), 'left over');
    command = open();
    expect(await call('error', 'x')).toBe('0 ');
  });
});

describe('the socket of the command', () => {
  it.each([
    ['nonsense\n', 'the message makes no sense\n'],
    ['{"type":"reboot"}\n', 'the message makes no sense\n'],
    ['null\n', 'the message makes no sense\n'],
    ['[]\n', 'the message makes no sense\n'],
    ['x'.repeat(20_000), 'the message must be at most 16384 characters\n'],
  ])('answers %.20j with what is wrong', async (message, answer) => {
    expect(await talk(message)).toBe(answer);
    expect(emitted).toEqual([]);
  });

  it('drops a program that says nothing for five seconds, and refuses the 17th meanwhile', async () => {
    process.chdir(join(home, '.computesdk'));
    const silent = Array.from({ length: 16 }, () => connect('signal.sock'));
    process.chdir(start);
    await Promise.all(silent.map((socket) => once(socket, 'connect')));
    await until(() => clock.pendingTimers === 16, { what: 'all of them' });
    expect(await talk('{"type":"error","message":"x"}\n')).toBe('');
    const closed = Promise.all(silent.map((socket) => once(socket.resume(), 'close')));
    clock.advance(5_000);
    await closed;
    await until(() => clock.pendingTimers === 0, { what: 'the end of all' });
    expect(await talk('{"type":"error","message":"x"}\n')).toBe('ok\n');
  });
});
