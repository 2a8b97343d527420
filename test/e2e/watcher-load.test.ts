import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestGateway } from '../support/gateway.ts';
import { inotifyWatchesOf } from '../support/inotify.ts';
import { report } from '../support/report.ts';
import { isSoak, scaled } from '../support/scale.ts';
import { delay, until } from '../support/until.ts';
import { listen, watchedSandbox } from '../support/watching.ts';

const BURST_FILES = scaled(20_000);
const BURST_FILES_PER_DIRECTORY = 100;
const TREE_FILES = scaled(50_000);
const TREE_FILES_PER_DIRECTORY = 100;
const IGNORED_DIRECTORIES = 200;
const READY_WITHIN_MS = 1_000;
const WITHIN_MS = isSoak ? 120_000 : 30_000;

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await TestGateway.start();
});

afterAll(() => gateway?.[Symbol.asyncDispose]());

it('loses none of a burst of files in new directories', async () => {
  const { sandbox, owned, project } = await watchedSandbox(gateway);
  const watcher = await sandbox.watcher.create('/project');
  const heard = listen(watcher);
  const seen = new Set<string>();
  watcher.on('change', ({ event, path }) => {
    if (event === 'add') seen.add(path);
  });
  const startedAt = performance.now();
  await fill(project, BURST_FILES, BURST_FILES_PER_DIRECTORY);
  const writtenMs = performance.now() - startedAt;
  await until(() => seen.size >= BURST_FILES, { what: 'every file', withinMs: WITHIN_MS }).catch(
    () => undefined,
  );
  const toldMs = performance.now() - startedAt;
  report({
    test: 'a burst of files in new directories',
    count: BURST_FILES,
    figures: { writtenMs, toldMs, told: seen.size, gaps: heard.gaps.length },
  });
  expect(seen.size).toBe(BURST_FILES);
  expect(heard.errors).toEqual([]);
  await sandbox.disconnect();
  await owned.destroy();
});

it('is ready soon for a large tree, with one inotify watch a directory and none for what is ignored', async () => {
  const { sandbox, owned, project } = await watchedSandbox(gateway);
  await fill(project, TREE_FILES, TREE_FILES_PER_DIRECTORY);
  for (let directory = 0; directory < IGNORED_DIRECTORIES; directory++)
    mkdirSync(join(project, 'node_modules', `package ${directory}`, 'lib'), { recursive: true });
  const [agent] = gateway.agentPids(owned.id);
  if (agent === undefined) throw new Error('the agent does not run');
  const memoryBefore = memoryOf(agent);
  const startedAt = performance.now();
  const watcher = await sandbox.watcher.create('/project', { ignored: ['node_modules'] });
  const readyMs = performance.now() - startedAt;
  const directories = Math.ceil(TREE_FILES / TREE_FILES_PER_DIRECTORY);
  const watches = inotifyWatchesOf(agent);
  report({
    test: 'a watcher of a large tree',
    count: TREE_FILES,
    figures: { readyMs, watches, memoryMiB: (memoryOf(agent) - memoryBefore) / 2 ** 20 },
  });
  // A bound of an idle machine.
  if (isSoak) expect(readyMs).toBeLessThanOrEqual(READY_WITHIN_MS);
  // The directories, the root, and the one above it, which tells when the root comes back.
  expect(watches).toBe(directories + 2);
  const heard = listen(watcher);
  mkdirSync(join(project, 'node_modules', 'later', 'lib'), { recursive: true });
  writeFileSync(join(project, 'node_modules', 'later', 'index.js'), '');
  writeFileSync(join(project, 'last'), '');
  await until(() => heard.changes.length > 0, { what: 'a change' });
  expect(heard.lines()).toEqual(['add last']);
  expect(inotifyWatchesOf(agent)).toBe(directories + 2);
  await watcher.destroy();
  await until(() => inotifyWatchesOf(agent) === 0, { what: 'every watch to be given back' });
  await sandbox.disconnect();
  await owned.destroy();
});

/** Between two directories this process's own client gets its turn. */
async function fill(project: string, files: number, perDirectory: number): Promise<void> {
  for (let file = 0; file < files; file++) {
    const directory = join(project, `directory ${Math.floor(file / perDirectory)}`);
    if (file % perDirectory === 0) {
      await delay(0);
      mkdirSync(directory);
    }
    writeFileSync(join(directory, `file ${file}`), 'content');
  }
}

/** Resident memory, in bytes. */
function memoryOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}
