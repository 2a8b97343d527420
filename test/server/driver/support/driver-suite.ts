import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { AgentProgram } from '../../../../server/driver/agent-program.ts';
import type { Driver } from '../../../../server/driver/driver.ts';
import { listProcesses } from '../../../support/processes.ts';
import { until } from '../../../support/until.ts';
import { BoxBench, isRoot, processesOfBox } from './box-bench.ts';
import { log, self, writeCommandAgent } from './command-agent.ts';

export type DriverSuite = {
  readonly name: string;
  readonly open: (program: AgentProgram) => Driver;
  /** Whether this machine lets it work; the suite is skipped, and counted as that, if not. */
  readonly isAvailable: boolean;
};

const CANARY = 'a-server-secret-that-no-box-may-see';
/** In seconds; longer than any test. The odd figure finds the program again. */
const LONG_SLEEP = 86_413;

/** What every driver promises. */
export function describeDriver({ name, open, isAvailable }: DriverSuite): void {
  describe.runIf(isAvailable)(`the ${name} driver`, () => {
    let programs: string;
    let driver: Driver;
    let bench: BoxBench;

    beforeAll(async () => {
      vi.stubEnv('COMPUTESDK_API_KEY', CANARY);
      programs = mkdtempSync(join(tmpdir(), 'programs-'));
      driver = open(writeCommandAgent(programs));
      bench = await BoxBench.open(driver);
    });
    afterEach(() => bench.clear());
    afterAll(async () => {
      await bench.close();
      driver.close();
      rmSync(programs, { recursive: true, force: true });
      vi.unstubAllEnvs();
    });

    test('works when it is tried', async () => {
      await driver.verify(AbortSignal.timeout(20_000));
    });

    test('starts an agent that answers on its socket and was told what it needs', async () => {
      const box = await bench.start();
      const { config } = await self(box.endpoint.socketPath);
      expect(config).toMatchObject({ ...box.spec.agent, listenFd: 3 });
      expect(driver.endpoint(box.spec.directory)).toEqual(box.endpoint);
    });

    test('keeps what programs write to the project and the home directory', async () => {
      const box = await bench.start();
      await box.run('echo one > file; echo two > "$HOME/file"; umask 022; mkdir folder');
      const at = (path: string) => join(box.spec.directory, path);
      expect(readFileSync(at('project/file'), 'utf8')).toBe('one\n');
      expect(readFileSync(at('home/file'), 'utf8')).toBe('two\n');
      expect(statSync(at('project/folder')).uid).toBe(box.spec.uid ?? process.getuid?.());
      await box.destroy();
      const again = await driver.start(box.spec, AbortSignal.timeout(20_000));
      const { stdout } = await box.run('cat file "$HOME/file"');
      expect(stdout).toBe('one\ntwo\n');
      await driver.destroy({ ...box.spec, handle: again.handle });
    });

    test("passes nothing of the server's environment on", async () => {
      const box = await bench.start();
      const { environment } = await self(box.endpoint.socketPath);
      const { stdout } = await box.run(
        'env; cat /proc/[0-9]*/environ 2>/dev/null | head -c 100000',
      );
      expect(JSON.stringify(environment)).not.toContain(CANARY);
      if (driver.isolated) expect(stdout).not.toContain(CANARY);
      const own = (await box.run('env')).stdout;
      expect(own).not.toContain(CANARY);
      const names = own.split('\n').map((line) => line.split('=')[0]);
      const allowed = [
        'COMPUTESDK_BOX',
        'HOME',
        'LANG',
        'LOGNAME',
        'PATH',
        'PWD',
        'USER',
        '',
        '_',
        'OLDPWD',
        'SHLVL',
      ];
      expect(names.filter((variable) => !allowed.includes(variable ?? ''))).toEqual([]);
    });

    test('gives the agent its standard streams and the listening socket, nothing else', async () => {
      const box = await bench.start();
      const { descriptors } = await self(box.endpoint.socketPath);
      expect(descriptors.find((line) => line.startsWith('0 '))).toBe('0 /dev/null');
      expect(descriptors.find((line) => line.startsWith('1 '))).toBe('1 /dev/null');
      expect(descriptors.find((line) => line.startsWith('3 '))).toMatch(/^3 socket:/);
      // Node.js opens these for itself.
      const own = /^\d+ (anon_inode:|pipe:|\/dev\/null|\/proc\/\d+\/fd)/;
      const others = descriptors.filter((line) => !/^[0123] /.test(line) && !own.test(line));
      expect(others).toEqual([]);
      const { stdout } = await box.run('for fd in /proc/$$/fd/*; do readlink "$fd"; done');
      // Node.js passes on what this process inherited itself; the real agent closes that first.
      const inherited = readdirSync('/proc/self/fd').map(targetOf);
      const passed = stdout.split('\n').filter((line) => line !== '' && !inherited.includes(line));
      expect(passed.filter((line) => line.startsWith('socket:')).length).toBe(3);
      expect(passed.filter((line) => !line.startsWith('socket:'))).toEqual([]);
    });

    test('lets a box outlive the process that started it, and ends it from another', async () => {
      const spec = bench.spec();
      const word = String(LONG_SLEEP + process.pid);
      const script = join(programs, 'starter.ts');
      writeFileSync(script, starterScript(name, spec, writeCommandAgent(programs)));
      const starter = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(starter.stdout, 'data');
      starter.kill('SIGKILL');
      await once(starter, 'exit');
      const { socketPath } = driver.endpoint(spec.directory);
      expect((await self(socketPath)).config['bootId']).toBe(spec.agent.bootId);
      // The starter died before anybody kept the handle.
      await driver.destroy(spec);
      await expect(self(socketPath)).rejects.toThrow(/ECONNREFUSED|ECONNRESET|ENOENT/);
      expect(processesOfBox(spec, word)).toEqual([]);
    });

    test('leaves no process behind, however it tried to get away', async () => {
      const box = await bench.start();
      const word = String(LONG_SLEEP + process.pid);
      const quiet = '</dev/null >/dev/null 2>&1';
      const stubborn = `trap : TERM HUP INT; sleep ${word} & wait`;
      await box.run(`setsid sh -c 'sleep ${word} & setsid sh -c "${stubborn}" &' ${quiet} &`);
      await box.run(
        `nohup sh -c '(sleep ${word} &) &' ${quiet} & (setsid sleep ${word} ${quiet} &)`,
      );
      await until(
        () => processesOfBox(box.spec, word).filter((line) => line === `sleep ${word}`).length >= 4,
        {
          what: 'four sleeping programs',
        },
      );
      await box.destroy();
      expect(processesOfBox(box.spec, word)).toEqual([]);
    });

    test('ends a box that is stopped and one that makes processes without end', async () => {
      const box = await bench.start();
      const word = String(LONG_SLEEP + 1 + process.pid);
      await box.run(
        `setsid sh -c 'f() { sleep ${word} & sh -c "sleep 0.01" ; f; }; f' >/dev/null 2>&1 &`,
      );
      await until(() => processesOfBox(box.spec, word).length > 20, { what: 'many programs' });
      for (const { pid, command } of listProcesses()) {
        if (command.includes(box.spec.sandboxId) && command.includes('listenFd'))
          process.kill(pid, 'SIGSTOP');
      }
      await box.destroy();
      expect(processesOfBox(box.spec, word)).toEqual([]);
    });

    test('ends the box of a handle once only, and never what else got its pid', async () => {
      const box = await bench.start();
      const innocent = spawn('sleep', [String(LONG_SLEEP)]);
      try {
        const forged = JSON.stringify({
          machineBoot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
          processes: [{ pid: innocent.pid, startTicks: '1' }],
        });
        for (const handle of [forged, '', '{', 'null', '[]', '{"processes":5}']) {
          await driver.destroy({ directory: join(bench.directory, 'elsewhere'), handle });
        }
        expect((await box.run('echo alive')).stdout).toBe('alive\n');
        await box.destroy();
        await box.destroy();
        expect(innocent.exitCode).toBeNull();
        expect(innocent.signalCode).toBeNull();
      } finally {
        innocent.kill('SIGKILL');
        await once(innocent, 'exit');
      }
    });

    test("works in a directory deeper than a socket's path may be long", async () => {
      const box = await bench.start({
        folder: `${'deep'.repeat(15)}/${'down'.repeat(15)}/${'here'.repeat(15)}`,
      });
      expect(box.spec.directory.length).toBeGreaterThan(200);
      expect(Buffer.byteLength(box.endpoint.socketPath)).toBeLessThanOrEqual(107);
      expect((await box.run('echo here')).stdout).toBe('here\n');
    });

    test('works in a directory with an odd name', async () => {
      const box = await bench.start({ folder: 'a b\t#c\\d"e\'f $g %h \u00e9' });
      expect((await box.run('echo x > y; echo here')).stdout).toBe('here\n');
      expect(readFileSync(join(box.spec.directory, 'project', 'y'), 'utf8')).toBe('x\n');
    });

    test('tells how an agent ended, with its last words', async () => {
      const box = await bench.start({ logLevel: 'error' });
      const { exitCode, stderr } = await box.exited;
      expect(exitCode).toBe(7);
      expect(stderr).toContain('cannot go on: the test said so');
      await expect(self(box.endpoint.socketPath)).rejects.toThrow();
    });

    test("keeps an agent's log within its bound", async () => {
      const box = await bench.start();
      const path = join(box.spec.directory, 'agent.log');
      await log(box.endpoint.socketPath, 'x'.repeat(1_500_000));
      await until(() => statSync(path).size >= 1_500_000, { what: 'a long log' });
      await driver.tend(box.spec.directory);
      expect(statSync(path).size).toBe(0);
      await log(box.endpoint.socketPath, 'the last line');
      await until(() => statSync(path).size > 0, { what: 'the last line' });
      expect(readFileSync(path, 'utf8')).toBe('the last line');
    });

    test('starts nothing, and leaves nothing, when it is called off', async () => {
      const spec = bench.spec();
      await expect(driver.start(spec, AbortSignal.abort(new Error('called off')))).rejects.toThrow(
        'called off',
      );
      const later = new AbortController();
      const starting = driver.start(spec, later.signal);
      setTimeout(() => later.abort(new Error('called off')), 15);
      const outcome = await starting.catch((error: unknown) => error);
      if (!(outcome instanceof Error)) await driver.destroy(spec);
      await until(() => processesOfBox(spec).length === 0, { what: 'no process of the box' });
    });

    test('keeps what lies beside the project out of sight of others on the host', async () => {
      const box = await bench.start();
      for (const path of ['agent.sock', 'agent.log', 'box.json']) {
        const { mode, uid } = statSync(join(box.spec.directory, path));
        expect(mode & 0o077, path).toBe(0);
        expect(uid, path).toBe(process.getuid?.());
      }
      expect(statSync(join(box.spec.directory, 'project')).mode & 0o777).toBe(0o700);
      if (isRoot && driver.isolated) expect(box.spec.uid).toBeGreaterThan(999);
    });
  });
}

function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

function starterScript(name: string, spec: unknown, program: AgentProgram): string {
  const folder = join(import.meta.dirname, '..', '..', '..', '..', 'server', 'driver');
  const className = name === 'process' ? 'ProcessDriver' : 'BubblewrapDriver';
  return `
import { ${className} } from ${JSON.stringify(join(folder, `${name}-driver.ts`))};
setInterval(() => {}, 1000);
const driver = new ${className}(${JSON.stringify({ program, egress: 'none' })});
await driver.start(${JSON.stringify(spec)}, AbortSignal.timeout(20000));
console.log('started');
`;
}
