import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { nodePath } from '../../../support/paths.ts';

/** A server on "the internet": in a network namespace of its own, at an address that is not the host's. */
export type RemoteServer = {
  readonly address: string;
  readonly port: number;
  readonly close: () => Promise<void>;
};

const PORT = 8099;
const SERVER = `require('node:net').createServer((s) => s.end('hello from outside')).listen(${PORT}, () => console.log('up'))`;

/** Makes a {@link RemoteServer}. Needs root and `ip`. */
export async function openRemoteServer(): Promise<RemoteServer> {
  const third = process.pid % 250;
  const device = `csdk${process.pid}`;
  const host = `198.18.${third}.1`;
  const address = `198.18.${third}.2`;
  const server = spawn('unshare', ['--net', nodePath, '-e', SERVER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(server.stdout, 'data');
  const inside = (...rest: string[]) =>
    run('nsenter', `--net=/proc/${server.pid}/ns/net`, 'ip', ...rest);
  run(
    'ip',
    'link',
    'add',
    device,
    'type',
    'veth',
    'peer',
    'name',
    'outside',
    'netns',
    String(server.pid),
  );
  run('ip', 'address', 'add', `${host}/30`, 'dev', device);
  run('ip', 'link', 'set', device, 'up');
  inside('address', 'add', `${address}/30`, 'dev', 'outside');
  inside('link', 'set', 'outside', 'up');
  return {
    address,
    port: PORT,
    close: async () => {
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
      try {
        run('ip', 'link', 'delete', device);
      } catch {
        // The device goes with the namespace.
      }
    },
  };
}

function run(program: string, ...rest: string[]): void {
  execFileSync(program, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
}
