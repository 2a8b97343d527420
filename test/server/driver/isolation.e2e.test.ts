import { lstatSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { BubblewrapDriver } from '../../../server/driver/bubblewrap-driver.ts';
import { until } from '../../support/until.ts';
import { canBox } from './support/availability.ts';
import { type BenchBox, BoxBench, isRoot } from './support/box-bench.ts';
import { writeCommandAgent } from './support/command-agent.ts';
import { openRemoteServer } from './support/test-network.ts';

const CONNECTED = 'connected';
const hasBoxes = await canBox('none');
const hasNat = hasBoxes && (await canBox('nat'));

let programs: string;
let driver: BubblewrapDriver;
let bench: BoxBench;

beforeAll(async () => {
  programs = mkdtempSync(join(tmpdir(), 'programs-'));
  driver = new BubblewrapDriver({ program: writeCommandAgent(programs), egress: 'none' });
  bench = await BoxBench.open(driver);
});
afterEach(() => bench.clear());
afterAll(async () => {
  await bench.close();
  driver.close();
  rmSync(programs, { recursive: true, force: true });
});

describe.runIf(hasBoxes)('a program in a box', () => {
  test('is nobody on the host and has no capability', async () => {
    const box = await bench.start();
    const { stdout } = await box.run(
      'id -u; id -g; id -G; id -un; hostname; grep -E "^(Cap|NoNewPrivs)" /proc/self/status',
    );
    const [uid, gid, groups, name, hostname, ...status] = stdout.trim().split('\n');
    expect([uid, gid, groups, name]).toEqual(['1000', '1000', '1000', 'user']);
    expect(hostname).toBe(box.spec.sandboxId);
    for (const line of status.filter((entry) => entry.startsWith('Cap')))
      expect(line).toMatch(/:\s+0+$/);
    expect(status).toContain('NoNewPrivs:\t1');
    const map = readFileSync(`/proc/${hostPid(box)}/uid_map`, 'latin1')
      .trim()
      .split(/\s+/);
    expect(map).toEqual(['1000', String(box.spec.uid ?? process.getuid?.()), '1']);
  });

  test('knows the time zone of the host by its name, which Node.js would look for otherwise', async () => {
    if (!lstatSync('/etc/localtime').isSymbolicLink()) return;
    const box = await bench.start();
    const { stdout } = await box.run('readlink -f /etc/localtime; cat /etc/os-release');
    const [zone, ...release] = stdout.split('\n');
    expect(zone).toBe(realpathSync('/etc/localtime'));
    expect(release.join('\n')).toBe(readFileSync('/etc/os-release', 'utf8'));
  });

  test('sees the processes of its own box only', async () => {
    const [one, two] = await Promise.all([bench.start(), bench.start()]);
    await one.run('setsid sleep 77441 >/dev/null 2>&1 &');
    const { stdout } = await two.run(
      'cat /proc/[0-9]*/cmdline | tr "\\0" " "; echo; ls -d /proc/[0-9]* | wc -l',
    );
    // Not the text itself: where this fails it is the host's whole list of processes.
    expect(stdout.includes('77441')).toBe(false);
    expect(stdout.includes(one.spec.sandboxId)).toBe(false);
    expect(Number(stdout.trim().split('\n').pop())).toBeLessThan(10);
  });

  test('finds nothing of the host but its programs, and cannot change those', async () => {
    const box = await bench.start();
    const root = (await box.run('ls /')).stdout.split('\n');
    const expected = [
      'bin',
      'dev',
      'etc',
      'home',
      'lib',
      'lib32',
      'lib64',
      'libx32',
      'nix',
      'gnu',
      'opt',
      'proc',
      'project',
      'run',
      'sbin',
      'tmp',
      'usr',
      'var',
      '',
    ];
    expect(root.filter((name) => !expected.includes(name))).toEqual([]);
    expect((await box.run('ls /home /opt /run')).stdout).toBe(
      '/home:\nuser\n\n/opt:\ncomputesdk\n\n/run:\n',
    );
    for (const path of [
      '/usr/x',
      '/etc/x',
      '/etc/passwd',
      '/x',
      '/opt/computesdk/x',
      '/run/x',
      '/home/x',
    ]) {
      expect((await box.run(`echo x >> ${path}`)).code, path).not.toBe(0);
    }
    expect(
      (await box.run('cat /etc/shadow /etc/gshadow /etc/sudoers; ls /etc/npmrc /etc/gitconfig'))
        .stdout,
    ).toBe('');
    expect(
      (await box.run('echo x > /tmp/x && echo x > /dev/shm/x && echo x > ~/x && cat /tmp/x'))
        .stdout,
    ).toBe('x\n');
  });

  test('cannot make another namespace, mount, or get more rights', async () => {
    const box = await bench.start();
    expect((await box.run('unshare --user true')).code).not.toBe(0);
    expect((await box.run('unshare --mount true')).code).not.toBe(0);
    expect((await box.run('mount -t tmpfs tmpfs /tmp')).code).not.toBe(0);
    expect((await box.run('su -c true; passwd -d root')).code).not.toBe(0);
    expect((await box.run('ls /dev')).stdout.split('\n')).not.toContain('kmsg');
  });

  test('is limited in processes and open files, and leaves no core dump', async () => {
    const box = await bench.start();
    const { stdout } = await box.run('cat /proc/self/limits');
    const limit = (name: string) =>
      new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, 'm').exec(stdout)?.slice(1);
    expect(limit('Max core file size')).toEqual(['0', '0']);
    expect(Number(limit('Max open files')?.[1])).toBeLessThanOrEqual(65_536);
    if (isRoot) expect(limit('Max processes')).toEqual(['4096', '4096']);
  });

  test.runIf(hasNat)(
    'has a writable device for its terminals, certificates, and a resolver as its network asks',
    async () => {
      const none = await bench.start();
      expect(
        (await none.run('test -c /dev/ptmx && test -r /etc/ssl/certs && echo yes')).stdout,
      ).toBe('yes\n');
      expect((await none.run('cat /etc/resolv.conf')).stdout).toBe('');
      const nat = await bench.start({ egress: 'nat' });
      expect((await nat.run('cat /etc/resolv.conf')).stdout).toBe('nameserver 10.0.2.3\n');
    },
  );
});

describe.runIf(hasNat)('the network of a box', () => {
  let canary: Server;
  let canaryPort: number;
  let knocks = 0;

  beforeAll(async () => {
    canary = createServer((socket) => {
      knocks += 1;
      socket.end('the host');
    });
    await new Promise<void>((resolve) => canary.listen(0, '::', resolve));
    const address = canary.address();
    canaryPort = typeof address === 'object' && address !== null ? address.port : 0;
  });
  afterAll(() => new Promise((resolve) => canary.close(resolve)));

  for (const egress of ['none', 'nat'] as const) {
    test(`does not lead to the host with egress ${egress}`, async () => {
      const box = await bench.start({ egress });
      for (const address of hostAddresses()) {
        expect(await connectFrom(box, address, canaryPort), address).not.toBe(CONNECTED);
      }
      expect(knocks).toBe(0);
    });

    test(`does not lead to a neighbour with egress ${egress}`, async () => {
      const [one, two] = await Promise.all([bench.start({ egress }), bench.start({ egress })]);
      const listen = `require("net").createServer((s) => s.end()).listen(18080, "0.0.0.0")`;
      await one.run(`setsid node -e '${listen}' >/dev/null 2>&1 &`);
      // The control: it can be reached where it runs.
      await until(async () => (await connectFrom(one, '127.0.0.1', 18_080)) === CONNECTED, {
        what: 'the neighbour listens',
      });
      for (const address of ['127.0.0.1', '10.0.2.100', '10.0.2.2', ...hostAddresses()]) {
        expect(await connectFrom(two, address, 18_080), address).not.toBe(CONNECTED);
      }
    });
  }

  test("is the host's own with egress host, which is what that means", async () => {
    const box = await bench.start({ egress: 'host' });
    expect(await connectFrom(box, '127.0.0.1', canaryPort)).toBe(CONNECTED);
  });

  test.runIf(isRoot)('leads outside with egress nat, and nowhere with egress none', async () => {
    const remote = await openRemoteServer();
    try {
      const [none, nat] = await Promise.all([bench.start(), bench.start({ egress: 'nat' })]);
      expect(await connectFrom(nat, remote.address, remote.port)).toBe(CONNECTED);
      expect(await connectFrom(none, remote.address, remote.port)).not.toBe(CONNECTED);
    } finally {
      await remote.close();
    }
  });

  test("ends with the box, without anybody's help", async () => {
    const box = await bench.start({ egress: 'nat' });
    const { processes } = JSON.parse(box.handle) as { processes: { pid: number }[] }; // As the driver made it.
    const [first, , slirp] = processes;
    if (!first || !slirp) throw new Error('the handle does not name the network');
    expect(readFileSync(`/proc/${slirp.pid}/cmdline`, 'latin1')).toContain('slirp4netns');
    process.kill(first.pid, 'SIGKILL');
    await until(() => isGone(slirp.pid), { what: 'slirp4netns has ended' });
  });
});

/** Whether a program in the box can connect. Anything but {@link CONNECTED} tells why not. */
async function connectFrom(box: BenchBox, address: string, port: number): Promise<string> {
  const script = `
    const socket = require("net").connect(${port}, "${address}");
    const say = (text) => { console.log(text); process.exit(); };
    socket.on("connect", () => {
      // slirp4netns takes every connection before it knows whether there is a peer: only bytes, or a clean end, count.
      socket.on("data", () => say("${CONNECTED}"));
      socket.on("end", () => say("${CONNECTED}"));
    });
    socket.on("error", (error) => say(error.code));
    setTimeout(() => say("timeout"), 3000);`;
  return (await box.run(`node -e '${script}'`)).stdout.trim();
}

function hostAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  const own = all.filter(({ internal }) => !internal).map(({ address }) => address);
  return [...own, '127.0.0.1', '10.0.2.2', '10.0.2.3', '::1', '0.0.0.0'];
}

function hostPid(box: BenchBox): number {
  const { processes } = JSON.parse(box.handle) as { processes: { pid: number }[] }; // As the driver made it.
  return processes[0]?.pid ?? 0;
}

function isGone(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return true;
  }
}
