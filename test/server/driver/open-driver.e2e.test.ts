import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { jsonLogger } from '../../../server/core/log.ts';
import type { AgentProgram } from '../../../server/driver/agent-program.ts';
import type { Egress } from '../../../server/driver/driver.ts';
import { openDriver } from '../../../server/driver/open-driver.ts';
import { nodePath, repositoryRoot } from '../../support/paths.ts';
import { canBox } from './support/availability.ts';
import { isRoot } from './support/box-bench.ts';
import { writeCommandAgent } from './support/command-agent.ts';

const NOBODY = 65_534;
/** Where the repository is for who is not root. */
const REACHABLE = '/mnt/repository';
const hasBoxes = await canBox('none');
const hasNat = hasBoxes && (await canBox('nat'));

let directory: string;
let program: AgentProgram;
let lines: string[];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'open-'));
  chmodSync(directory, 0o755);
  program = writeCommandAgent(directory);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function open(options: {
  name?: 'bubblewrap' | 'process';
  egress?: Egress;
  program?: AgentProgram;
}) {
  lines = [];
  const logger = jsonLogger({ write: (line) => lines.push(line), now: () => 0, level: 'info' });
  return openDriver({ program, logger, ...options }, AbortSignal.timeout(20_000));
}

describe('openDriver', () => {
  test.runIf(hasNat)('chooses bubblewrap with nat where both work, without a warning', async () => {
    const { driver, egress } = await open({});
    expect([driver.name, driver.isolated, egress]).toEqual(['bubblewrap', true, 'nat']);
    expect(lines).toEqual([]);
    driver.close();
  });

  test('gives the process driver when it is asked for, with a warning nobody misses', async () => {
    const { driver, egress } = await open({ name: 'process' });
    expect([driver.name, driver.isolated, egress]).toEqual(['process', false, 'host']);
    expect(lines.join('')).toContain('NO ISOLATION');
    driver.close();
  });

  test.each(['none', 'nat'] as const)(
    'refuses the process driver with egress %s',
    async (egress) => {
      await expect(open({ name: 'process', egress })).rejects.toMatchObject({
        reason: 'BAD_SETTING',
        message: expect.stringContaining('COMPUTESDK_EGRESS'),
      });
    },
  );

  test('refuses a driver whose agent cannot run, with what it said', async () => {
    const broken = { ...program, node: '/bin/false' };
    await expect(open({ name: 'process', program: broken })).rejects.toMatchObject({
      reason: 'DRIVER_UNAVAILABLE',
    });
  });

  test('refuses a system that the native code of terminals was not built for', async () => {
    const folder = join(directory, 'node-pty');
    cpSync(join(repositoryRoot, 'node_modules', 'node-pty', 'lib'), join(folder, 'lib'), {
      recursive: true,
    });
    const strange = { ...program, packages: { 'node-pty': folder } };
    await expect(open({ name: 'process', program: strange })).rejects.toMatchObject({
      reason: 'DRIVER_UNAVAILABLE',
      message: expect.stringMatching(/pty\.node.*`npm rebuild node-pty --build-from-source`/),
    });
  });

  test('leaves nothing behind in the temporary directory', async () => {
    // Other suites, which run beside this one, come and go in the run's.
    const own = mkdtempSync(join(tmpdir(), 'own-'));
    chmodSync(own, 0o755);
    vi.stubEnv('TMPDIR', own);
    try {
      await open({ name: 'process' }).then(({ driver }) => driver.close());
      if (hasBoxes) await open({ egress: 'none' }).then(({ driver }) => driver.close());
    } finally {
      vi.unstubAllEnvs();
    }
    expect(readdirSync(own)).toEqual([]);
  });

  test.runIf(isRoot && hasBoxes)("names the file that a box's user could not read", async () => {
    const folder = mkdtempSync(join(directory, 'closed-'));
    const closed = writeCommandAgent(folder);
    chmodSync(join(closed.directory, 'main.mjs'), 0o600);
    await expect(open({ name: 'bubblewrap', program: closed })).rejects.toMatchObject({
      reason: 'DRIVER_UNAVAILABLE',
      message: expect.stringMatching(
        /main\.mjs cannot be read .*`chmod -R o\+rX \S+\/command-agent`$/,
      ),
    });
  });

  test.runIf(isRoot && hasBoxes)('works for a user who is not root', async () => {
    const result = await asNobody('');
    expect(result).toMatchObject({
      uid: NOBODY,
      name: 'bubblewrap',
      egress: 'none',
      capabilities: '0000000000000000',
    });
  });

  test.runIf(isRoot && hasNat)(
    'gives nat to a user who is not root and may open /dev/net/tun',
    async () => {
      const tun = join(directory, 'tun');
      const result = await asNobody(
        `mknod ${tun} c 10 200; chmod 666 ${tun}; mount --bind ${tun} /dev/net/tun;`,
      );
      expect(result).toMatchObject({
        uid: NOBODY,
        name: 'bubblewrap',
        egress: 'nat',
        capabilities: '0000000000000000',
      });
    },
  );

  test.runIf(hasBoxes)(
    'falls back to processes without bubblewrap, and names the cause',
    async () => {
      const result = await inPrivate('mount --bind /dev/null /usr/bin/bwrap;');
      expect(result).toMatchObject({
        ...{ name: 'process', egress: 'host' },
        warnings: expect.stringMatching(
          /bubblewrap does not work here.*bwrap is missing.*NO ISOLATION/s,
        ),
      });
    },
  );
});

/** Opens the default driver as a user who is not root, in a mount namespace prepared by `preparation`. */
function asNobody(preparation: string): Promise<unknown> {
  const become = `setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups`;
  return inPrivate(preparation, become);
}

async function inPrivate(preparation: string, become = ''): Promise<unknown> {
  const scratch = mkdtempSync(join(directory, 'scratch-'));
  chmodSync(scratch, 0o777);
  const script = join(scratch, 'open.ts');
  writeFileSync(script, scriptText(scratch));
  chmodSync(script, 0o644);
  // The repository may lie where only root gets to.
  const reach = `mount -t tmpfs -o mode=755 x /mnt; mkdir ${REACHABLE}; mount --bind '${repositoryRoot}' ${REACHABLE};`;
  const shell = `${reach} ${preparation} exec ${become} ${reachable(nodePath)} ${script}`;
  const { stdout } = await promisify(execFile)(
    'unshare',
    [
      ...(isRoot ? [] : ['--user', '--map-root-user']),
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-ec',
      shell,
    ],
    { env: { PATH: process.env['PATH'], TMPDIR: scratch } },
  );
  return JSON.parse(stdout);
}

function reachable(path: string): string {
  return join(REACHABLE, relative(repositoryRoot, path));
}

function scriptText(scratch: string): string {
  const at = (path: string) => JSON.stringify(join(REACHABLE, path));
  return `
import { mkdirSync } from 'node:fs';
import { openDriver } from ${at('server/driver/open-driver.ts')};
import { jsonLogger } from ${at('server/core/log.ts')};
import { run } from ${at('test/server/driver/support/command-agent.ts')};
const program = ${JSON.stringify({ ...program, node: reachable(nodePath) })};
const warnings = [];
const logger = jsonLogger({ write: (line) => warnings.push(line), now: () => 0, level: 'warn' });
const alive = setInterval(() => {}, 1000);
const { driver, egress } = await openDriver({ program, logger }, AbortSignal.timeout(20000));
const directory = ${JSON.stringify(join(scratch, 'box'))};
mkdirSync(directory, { mode: 0o700 });
const agent = { sandboxId: 'sbx', bootId: 'bot', previousBootIds: [], expiresAt: 0, graceMs: 0, logLevel: 'info' };
const box = await driver.start({ sandboxId: 'sbx', directory, egress, agent }, AbortSignal.timeout(20000));
const { stdout } = await run(box.endpoint.socketPath, "sed -n 's/^CapEff:.//p' /proc/self/status");
await driver.destroy({ directory, handle: box.handle });
driver.close();
clearInterval(alive);
console.log(JSON.stringify({ uid: process.getuid(), name: driver.name, egress, capabilities: stdout.trim(), warnings: warnings.join('') }));
`;
}
