import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  BUNDLE_NAMES,
  cacheName,
  MAKE_CODE_CACHE,
  PROGRAM_NAME,
} from '../../../server/agent/code-cache.ts';
import { AGENT_NODE_OPTIONS } from '../../../server/agent/config.ts';
import { jsonLogger } from '../../../server/core/log.ts';
import { type AgentProgram, findAgentProgram } from '../../../server/driver/agent-program.ts';
import { BubblewrapDriver } from '../../../server/driver/bubblewrap-driver.ts';
import { ensureCodeCache } from '../../../server/driver/code-cache.ts';
import type { Driver } from '../../../server/driver/driver.ts';
import { ProcessDriver } from '../../../server/driver/process-driver.ts';
import { until } from '../../support/until.ts';
import { canBox } from './support/availability.ts';
import { BoxBench } from './support/box-bench.ts';

const hasBoxes = await canBox('none');

let folder: string;
let program: AgentProgram;
let lines: string[];
let caches: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'code-cache-'));
  const installed = findAgentProgram();
  const directory = join(folder, 'dist', 'agent');
  for (const name of [PROGRAM_NAME, ...BUNDLE_NAMES])
    cpSync(join(installed.directory, name), join(directory, name));
  // Where Node.js looks for the packages that are not in the bundle.
  for (const [name, root] of Object.entries(installed.packages))
    cpSync(root, join(folder, 'node_modules', name), { recursive: true });
  program = { ...installed, directory };
  caches = BUNDLE_NAMES.map(cacheOf);
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function ensure(): Promise<void> {
  const logger = jsonLogger({ write: (line) => lines.push(line), now: () => 0, level: 'info' });
  return ensureCodeCache(program, logger, AbortSignal.timeout(20_000));
}

/** What an agent that was started says of its code cache. */
async function toldByAgent(driver: Driver = new ProcessDriver({ program })): Promise<unknown> {
  const bench = await BoxBench.open(driver);
  try {
    const { spec, endpoint } = await bench.start({ egress: driver.isolated ? 'none' : 'host' });
    const log = () => readFileSync(join(spec.directory, 'agent.log'), 'utf8');
    // The services are loaded at the first call.
    await once(get({ ...endpoint, agent: false }), 'response').catch(() => {
      throw new Error(log());
    });
    const started = await until(
      () =>
        log()
          .split('\n')
          .find((line) => line.includes('agent started')),
      { what: 'the agent to have started' },
    );
    return JSON.parse(started).codeCache;
  } finally {
    await bench.close();
    driver.close();
  }
}

test('a code cache that is missing is made, readable for users of boxes, and used', async () => {
  expect(await toldByAgent()).toBe('none');
  await ensure();
  expect(caches.map((cache) => statSync(cache).mode & 0o777)).toEqual(caches.map(() => 0o644));
  expect(await toldByAgent()).toBe('used');
  expect(lines).toEqual([]);
});

test.runIf(hasBoxes)('it is used in a box', async () => {
  chmodSync(folder, 0o755);
  await ensure();
  expect(await toldByAgent(new BubblewrapDriver({ program, egress: 'none' }))).toBe('used');
});

test('one that is current is not made again', async () => {
  await ensure();
  const made = caches.map((cache) => statSync(cache));
  await ensure();
  expect(caches.map((cache) => statSync(cache))).toMatchObject(
    made.map(({ ino, mtimeMs }) => ({ ino, mtimeMs })),
  );
});

test.each([
  ['of another bundle', () => writeFileSync(bundle(), `${readFileSync(bundle())} `)],
  ['of another Node.js', () => swap(cacheOf('agent.cjs'), process.version, newerVersion())],
  ['that is not whole', () => writeFileSync(cache(), readFileSync(cache()).subarray(0, -1))],
  ['that is empty', () => writeFileSync(cache(), '')],
  ['of what users need that is missing', () => rmSync(cacheOf('sandbox-services.cjs'))],
])('one %s is not used, and is replaced', async (_name, change) => {
  await ensure();
  change();
  expect(await toldByAgent()).toBe('none');
  await ensure();
  expect(await toldByAgent()).toBe('used');
});

test.each(BUNDLE_NAMES)('one of %s with a byte that changed is replaced', async (name) => {
  await ensure();
  flip(cacheOf(name), 10_000);
  const broken = readFileSync(cacheOf(name));
  await ensure();
  expect(readFileSync(cacheOf(name)).equals(broken)).toBe(false);
  expect(await toldByAgent()).toBe('used');
});

test('one of another build of the same length is not used, and is replaced', async () => {
  await ensure();
  // V8 itself looks at the length of the source only.
  for (const name of BUNDLE_NAMES) swap(join(program.directory, name), /^\/\*./, '/*x');
  expect(await toldByAgent()).toBe('none');
  await ensure();
  expect(await toldByAgent()).toBe('used');
});

test('an agent does not go on with a bundle of another build', async () => {
  swap(join(program.directory, 'sandbox-services.cjs'), /^\/\*./, '/*x');
  await expect(toldByAgent()).rejects.toThrow('is of another build');
});

test('where it cannot be made, that is said, and agents start without it', async () => {
  program = { ...program, node: '/bin/false' };
  await ensure();
  expect(lines.join('')).toContain('agents start without a code cache');
  program = { ...program, node: process.execPath };
  expect(await toldByAgent()).toBe('none');
});

test('the documentation has the command that makes it', () => {
  const command = ['node', ...AGENT_NODE_OPTIONS, `dist/agent/${PROGRAM_NAME}`, MAKE_CODE_CACHE];
  expect(readFileSync('docs/drivers.md', 'utf8')).toContain(`\`${command.join(' ')}\``);
});

function bundle(): string {
  return join(program.directory, 'chunk.cjs');
}

function cache(): string {
  return cacheOf('chunk.cjs');
}

function cacheOf(name: (typeof BUNDLE_NAMES)[number]): string {
  return join(program.directory, cacheName(name));
}

function newerVersion(): string {
  return process.version.replace(/\d/, '9');
}

function swap(file: string, from: string | RegExp, to: string): void {
  const content = readFileSync(file, 'latin1');
  const changed = content.replace(from, to);
  expect(changed).not.toBe(content);
  writeFileSync(file, changed, 'latin1');
}

function flip(file: string, at: number): void {
  const content = readFileSync(file);
  content.writeUInt8(content.readUInt8(at) ^ 1, at);
  writeFileSync(file, content);
}
