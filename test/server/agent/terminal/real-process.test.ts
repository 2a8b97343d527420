import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { closeInheritedDescriptors } from '../../../../server/agent/descriptors.ts';
import { sendSignal } from '../../../../server/agent/terminal/process-family.ts';
import { foregroundGroup } from '../../../../server/agent/terminal/process-table.ts';
import { readProcess } from '../../../support/processes.ts';
import { delay, until } from '../../../support/until.ts';
import { type RealProcess, startBash } from '../support/real-process.ts';

const started: RealProcess[] = [];

// As the agent does at its start: what this runner inherited is not under test.
beforeAll(() => closeInheritedDescriptors([]));

function bash(...options: Parameters<typeof startBash>): RealProcess {
  const program = startBash(...options);
  started.push(program);
  return program;
}

afterEach(async () => {
  for (const { program, exited } of started.splice(0)) {
    program.resume();
    sendSignal(-program.pid, 'SIGKILL');
    await exited;
  }
});

/** Descriptors that a program has. The shell lists its own while it waits. */
const LIST_DESCRIPTORS = 'ls -l /proc/$$/fd; :';

function descriptorsOf(program: RealProcess): string[] {
  const lines = program.output().toString().split(/\r?\n/);
  return lines.flatMap((line) => / (\d+) -> /.exec(line)?.[1] ?? []);
}

describe.each(['pty', 'pipes'] as const)('a program on %s', (kind) => {
  it('reports its exit code', async () => {
    expect(await bash(kind, 'exit 42').exited).toEqual({ exitCode: 42, signal: '' });
    expect(await bash(kind, 'exit 0').exited).toEqual({ exitCode: 0, signal: '' });
  });

  it('reports the signal that ended it, and no exit code then', async () => {
    expect(await bash(kind, 'kill -KILL $$').exited).toEqual({ signal: 'SIGKILL' });
    expect(await bash(kind, 'kill -USR1 $$').exited).toEqual({ signal: 'SIGUSR1' });
  });

  it('loses nothing of what it printed when it exits while nobody reads', async () => {
    const program = bash(kind, 'head -c 3000 /dev/zero | tr "\\0" x; exit 5');
    program.program.pause();
    const exit = await program.exited;
    expect([exit.exitCode, program.output().length]).toEqual([5, 3000]);
    expect(program.output().every((byte) => byte === 'x'.charCodeAt(0))).toBe(true);
  });

  it('waits while nobody reads, and prints everything when it is read again', async () => {
    const program = bash(kind, 'stty raw 2>/dev/null; head -c 3000000 /dev/zero; echo done');
    program.program.pause();
    await delay(300);
    expect(program.output().length).toBeLessThan(100_000);
    expect(readProcess(program.program.pid)?.state).toBe('S');
    program.program.resume();
    await program.exited;
    expect(program.output().length).toBe(3_000_005);
  });

  it('ends when it exits, though others hold its terminal open and go on printing', async () => {
    const program = bash(kind, 'trap "" HUP; sleep 30 & yes & echo $!; exit 6');
    const exit = await program.exited;
    expect(exit.exitCode).toBe(6);
    expect(program.output().toString()).toMatch(/(^|\n)\d+\r?\n/);
  });

  it('has descriptors 0, 1 and 2 only, also when terminals between others were closed', async () => {
    const others = Array.from({ length: 12 }, () => bash('pty', 'sleep 30'));
    for (const index of [2, 5, 6]) {
      const closed = others[index];
      if (closed) sendSignal(-closed.program.pid, 'SIGKILL');
      await closed?.exited;
    }
    const program = bash(kind, LIST_DESCRIPTORS);
    await program.exited;
    expect(descriptorsOf(program)).toEqual(['0', '1', '2']);
  });

  it('has the environment that it was given and nothing else', async () => {
    process.env['LEAK_CANARY'] = 'secret';
    const program = bash(kind, 'cat /proc/$$/environ; :', { GIVEN: 'yes' });
    await program.exited;
    delete process.env['LEAK_CANARY'];
    const names = program
      .output()
      .toString()
      .split('\0')
      .filter(Boolean)
      .map((entry) => entry.split('=')[0]);
    const own = ['_', 'SHLVL', 'PWD', 'OLDPWD'];
    expect(names.filter((name) => !own.includes(name ?? '')).sort()).toEqual([
      'GIVEN',
      'LANG',
      'PATH',
      'PS1',
    ]);
  });

  it('is the leader of its session, with default signals', async () => {
    const program = bash(kind, 'grep SigIgn /proc/self/status; echo ready; cat; :');
    await program.seen('ready');
    const stat = readFileSync(`/proc/${program.program.pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    expect(Number(fields[3])).toBe(program.program.pid);
    expect(program.output().toString()).toMatch(/^SigIgn:\s+0+\r?$/m);
  });

  it('refuses input with EXITED once it has exited', async () => {
    const program = bash(kind, ':');
    await program.exited;
    await expect(program.type('x')).rejects.toMatchObject({ reason: 'EXITED' });
    expect(program.program.pendingInputBytes).toBe(0);
  });

  it('gets a large paste whole, in order, and costs nothing while it does not read', async () => {
    const script = 'stty raw -echo 2>/dev/null; echo ready; sleep 0.5; head -c 500000 | sha256sum';
    const program = bash(kind, script);
    await program.seen('ready');
    const paste = Buffer.from(
      Array.from({ length: 500_000 }, (_, index) => (index * 7 + (index >> 8)) & 255),
    );
    const before = process.cpuUsage();
    const pasted = program.program.write(paste);
    await delay(300);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 300_000).toBeLessThan(0.5);
    await pasted;
    await program.exited;
    const { createHash } = await import('node:crypto');
    expect(program.output().toString()).toContain(createHash('sha256').update(paste).digest('hex'));
  });
});

describe('a program on a pseudo terminal', () => {
  it('has its size, and learns of a new one', async () => {
    const program = bash(
      'pty',
      'stty size; trap "stty size; exit" WINCH; echo set; while :; do sleep 0.05; done',
    );
    await program.seen('set');
    program.program.resize({ cols: 132, rows: 50 });
    await program.exited;
    expect(program.output().toString()).toMatch(/24 80[\s\S]*50 132/);
  });

  it('erases characters, not bytes', async () => {
    const program = bash('pty', 'stty -a; read line; printf %s "$line" | od -An -tx1; exit');
    await program.seen('iutf8');
    await program.type('aé\x7fb\n');
    await program.exited;
    expect(program.output().toString()).toContain('61 62');
  });

  it('prints every byte value unchanged', async () => {
    const program = bash(
      'pty',
      'stty raw; for i in $(seq 0 255); do printf "\\x$(printf %02x $i)"; done',
    );
    await program.exited;
    expect([...program.output()]).toEqual(Array.from({ length: 256 }, (_, index) => index));
  });

  it('names its foreground process group', async () => {
    const program = bash('pty');
    await program.type('sleep 30\n');
    const group = await until(
      () => {
        const foreground = foregroundGroup(program.program.pid);
        return (
          foreground !== program.program.pid &&
          readProcess(foreground)?.command === 'sleep 30' &&
          foreground
        );
      },
      { what: 'sleep in the foreground' },
    );
    sendSignal(-group, 'SIGKILL');
    await until(() => foregroundGroup(program.program.pid) === program.program.pid, {
      what: 'the shell in the foreground',
    });
  });

  it('leaves no descriptor behind', async () => {
    const count = () => readdirSync('/proc/self/fd').length;
    const before = count();
    for (let round = 0; round < 20; round += 1) await bash('pty', 'exit').exited;
    await until(() => count() <= before, { what: 'closed descriptors' });
  });
});

describe('a program on pipes', () => {
  it('mixes standard output and error in the order of writing', async () => {
    const program = bash('pipes', 'for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done');
    await program.exited;
    const lines = [1, 2, 3, 4, 5].flatMap((index) => [`out ${index}`, `err ${index}`]);
    expect(program.output().toString()).toBe(`${lines.join('\n')}\n`);
  });

  it('has no terminal', async () => {
    const program = bash('pipes', 'test -t 0 || echo none; tty < /dev/tty || echo none');
    await program.exited;
    expect(program.output().toString().match(/none/g)).toHaveLength(2);
  });
});
