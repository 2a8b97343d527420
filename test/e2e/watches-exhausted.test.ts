import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestGateway } from '../support/gateway.ts';
import { inotifyWatchesOf } from '../support/inotify.ts';
import { until } from '../support/until.ts';
import { changeOf, listen, watchedSandbox } from '../support/watching.ts';

/** How many inotify watches there are; two of them are for the root of a tree. */
const WATCHES = 40;
/** Of a user namespace, which has a limit of its own. */
const LIMIT = '/proc/sys/user/max_inotify_watches';

let gateway: TestGateway;
let scene: Awaited<ReturnType<typeof watchedSandbox>>;

beforeAll(async () => {
  gateway = await TestGateway.start({
    prefix: ['unshare', '--user', '--map-root-user'],
    env: { COMPUTESDK_DRIVER: 'process' },
  });
  scene = await watchedSandbox(gateway);
});

afterAll(async () => {
  await scene?.sandbox.disconnect();
  await gateway?.[Symbol.asyncDispose]();
});

function agent(): number {
  const [pid] = gateway.agentPids(scene.owned.id);
  if (pid === undefined) throw new Error('the agent does not run');
  return pid;
}

/** Sets how many watches the gateway and its agents may have together. */
function allowWatches(count: number): void {
  const set = ['sh', '-c', `echo ${count} > ${LIMIT}`];
  execFileSync('nsenter', ['--user', '--target', String(gateway.pid), ...set]);
}

function makeFolders(name: string, count: number): void {
  for (let index = 0; index < count; index++) {
    const folder = join(scene.project, name, `folder-${index}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'file'), '');
  }
}

test('a tree with too many directories is refused, with what to do', async () => {
  allowWatches(WATCHES);
  makeFolders('large', WATCHES);
  await expect(scene.sandbox.watcher.create('/project/large')).rejects.toMatchObject({
    code: 'limit_reached',
    message: expect.stringMatching(/no inotify watch left.*ignored.*max_user_watches/),
  });
  // What was taken for it was given back.
  const watcher = await scene.sandbox.watcher.create('/project/large', { ignored: ['folder-1*'] });
  const heard = listen(watcher);
  writeFileSync(join(scene.project, 'large', 'folder-2', 'file'), 'content');
  await changeOf(heard, '/project/large/folder-2/file', 'change');
  expect(heard.errors).toEqual([]);
  await watcher.destroy();
});

test('a tree that grows beyond the watches is told whole all the same', async () => {
  allowWatches(WATCHES);
  makeFolders('growing', WATCHES / 2);
  const watcher = await scene.sandbox.watcher.create('/project/growing');
  const heard = listen(watcher);
  makeFolders('growing', 2 * WATCHES);
  const last = `folder-${2 * WATCHES - 1}`;
  await changeOf(heard, `/project/growing/${last}/file`);
  expect(heard.errors.map(({ code }) => code)).toEqual(['limit_reached']);
  // Of a directory without a watch only a look at it tells.
  writeFileSync(join(scene.project, 'growing', last, 'later'), 'content');
  await changeOf(heard, `/project/growing/${last}/later`, 'add');
  expect(heard.gaps).not.toEqual([]);
  expect(heard.gaps.filter(({ reason, complete }) => reason !== 'overflow' || !complete)).toEqual(
    [],
  );
  expect(heard.errors).toHaveLength(1);
  const told = new Set(heard.changes.map(({ path }) => path));
  for (let index = WATCHES / 2; index < 2 * WATCHES; index++) {
    expect(told.has(`/project/growing/folder-${index}/file`)).toBe(true);
  }

  allowWatches(10 * WATCHES);
  await until(() => inotifyWatchesOf(agent()) > 2 * WATCHES, {
    what: 'a watch for each directory',
    withinMs: 20_000,
  });
  await watcher.destroy();
});
