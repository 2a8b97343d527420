import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { deferred } from '../../server/core/deferred.ts';
import { until } from '../../test/support/until.ts';
import { HeldProgram, type Line } from './line.ts';

const SSHD = '/usr/sbin/sshd';
const INSTALL = ['apt-get', 'install', '-y', '--no-install-recommends', 'openssh-server'];

/** `ssh -tt` to a server of its own on loopback, with keys of its own. */
export async function sshLine(directory: string): Promise<Line> {
  ensureSshd();
  const keys = mkdtempSync(join(tmpdir(), 'bench-ssh-'));
  const port = await freePort();
  const server = await startServer(keys, port);
  const options = [
    ...['-tt', '-F', 'none', '-p', String(port), '-i', join(keys, 'user')],
    ...['-o', 'IdentitiesOnly=yes', '-o', 'LogLevel=ERROR', '-o', 'StrictHostKeyChecking=yes'],
    ...['-o', `UserKnownHostsFile=${join(keys, 'known')}`],
  ];
  return {
    name: 'ssh -tt',
    run: async (command) => {
      const wrapped = `cd ${quote(directory)} && exec sh -c ${quote(command)}`;
      const address = `${userInfo().username}@127.0.0.1`;
      const ssh = spawn('ssh', [...options, address, wrapped], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const ended = once(ssh, 'close');
      const program = new HeldProgram({
        write: (data: string) => void ssh.stdin.write(data),
        close: async () => {
          ssh.kill('SIGKILL');
          await ended;
        },
      });
      ssh.stdout.on('data', (data: Buffer) => program.onData(data));
      return program;
    },
    close: async () => {
      server.kill('SIGTERM');
      await once(server, 'close');
      rmSync(keys, { recursive: true });
    },
  };
}

/** The version of the server, as it says it. */
export function sshVersion(): string {
  return spawnSync('ssh', ['-V'], { encoding: 'utf8' }).stderr.trim();
}

/** Installs the server where that is possible without asking, as the set-up of tests does for its tools. */
function ensureSshd(): void {
  if (existsSync(SSHD)) return;
  const isRoot = process.getuid?.() === 0;
  if (isRoot && process.env['COMPUTESDK_SKIP_SETUP'] !== '1' && existsSync('/usr/bin/apt-get')) {
    console.error(`setting up: ${INSTALL.join(' ')} (COMPUTESDK_SKIP_SETUP=1 turns this off)`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const [program = '', ...args] = INSTALL;
    spawnSync(program, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  }
  if (!existsSync(SSHD)) throw new Error(`sshd is missing: sudo ${INSTALL.join(' ')}`);
}

async function startServer(keys: string, port: number): Promise<ChildProcess> {
  for (const name of ['host', 'user']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(keys, name)]);
  }
  const hostKey = readFileSync(join(keys, 'host.pub'), 'utf8');
  writeFileSync(join(keys, 'known'), `[127.0.0.1]:${port} ${hostKey}`);
  const config = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(keys, 'host')}`,
    `AuthorizedKeysFile ${join(keys, 'user.pub')}`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PasswordAuthentication no',
    'PermitRootLogin prohibit-password',
    'PrintMotd no',
    'PrintLastLog no',
    'MaxStartups 200',
  ];
  writeFileSync(join(keys, 'sshd_config'), `${config.join('\n')}\n`);
  // As root it insists on this directory, which only its own service makes.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  const args = ['-D', '-e', '-q', '-f', join(keys, 'sshd_config')];
  const server = spawn(SSHD, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  await until(() => accepts(port), { what: 'sshd to listen' });
  return server;
}

function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = deferred<boolean>();
  const socket = connect(port, '127.0.0.1', () => resolve(true));
  socket.on('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A listening TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
