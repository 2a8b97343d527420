import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MAKE_CODE_CACHE } from '../../../server/agent/code-cache.ts';
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
let cache: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'code-cache-'));
  const installed = findAgentProgram();
  const directory = join(folder, 'dist', 'agent');
  for (const name of ['main.mjs', 'agent.cjs'])
    cpSync(join(installed.directory, name), join(directory, name));
  // Where Node.js looks for the packages that are not in the bundle.
  for (const [name, root] of Object.entries(installed.packages))
    cpSync(root, join(folder, 'node_modules', name), { recursive: true });
  program = { ...installed, directory };
  cache = join(directory, 'agent.cache');
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
    const { spec } = await bench.start({ egress: driver.isolated ? 'none' : 'host' });
    const ready = await until(
      () =>
        readFileSync(join(spec.directory, 'agent.log'), 'utf8')
          .split('\n')
          .find((line) => line.includes('agent ready')),
      { what: 'the agent to be ready' },
    );
    return JSON.parse(ready).codeCache;
  } finally {
    await bench.close();
    driver.close();
  }
}

test('a code cache that is missing is made, readable for users of boxes, and used', async () => {
  expect(await toldByAgent()).toBe('none');
  await ensure();
  expect(statSync(cache).mode & 0o777).toBe(0o644);
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
  const { ino, mtimeMs } = statSync(cache);
  await ensure();
  expect(statSync(cache)).toMatchObject({ ino, mtimeMs });
});

test.each([
  ['of another bundle', () => writeFileSync(bundle(), `${readFileSync(bundle())} `)],
  // V8 itself looks at the length of the source only.
  ['of another bundle of the same length', () => swap(bundle(), '"use strict"', "'use strict'")],
  ['of another Node.js', () => swap(cache, process.version, process.version.replace(/\d/, '9'))],
  ['that is not whole', () => writeFileSync(cache, readFileSync(cache).subarray(0, -1))],
  ['that is empty', () => writeFileSync(cache, '')],
])('one %s is not used, and is replaced', async (_name, change) => {
  await ensure();
  change();
  expect(await toldByAgent()).toBe('none');
  await ensure();
  expect(await toldByAgent()).toBe('used');
});

test('one with a byte that changed is replaced', async () => {
  await ensure();
  flip(cache, 100_000);
  const broken = readFileSync(cache);
  await ensure();
  expect(readFileSync(cache).equals(broken)).toBe(false);
  expect(await toldByAgent()).toBe('used');
});

test('where it cannot be made, that is said, and agents start without it', async () => {
  program = { ...program, node: '/bin/false' };
  await ensure();
  expect(lines.join('')).toContain('agents start without a code cache');
  program = { ...program, node: process.execPath };
  expect(await toldByAgent()).toBe('none');
});

test('the documentation has the command that makes it', () => {
  const command = ['node', ...AGENT_NODE_OPTIONS, 'dist/agent/main.mjs', MAKE_CODE_CACHE];
  expect(readFileSync('docs/drivers.md', 'utf8')).toContain(`\`${command.join(' ')}\``);
});

function bundle(): string {
  return join(program.directory, 'agent.cjs');
}

function swap(file: string, from: string, to: string): void {
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
