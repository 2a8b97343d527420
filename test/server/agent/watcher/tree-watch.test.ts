import {
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { IgnoreMatcher } from '../../../../server/agent/watcher/ignore-matcher.ts';
import { TreeWatch, type TreeWatchOptions } from '../../../../server/agent/watcher/tree-watch.ts';
import { systemClock } from '../../../../server/core/clock.ts';
import { until } from '../../../support/until.ts';

let root: string;
let tree: TreeWatch | undefined;

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'tree-')));
});

afterEach(() => {
  tree?.close();
  rmSync(root, { recursive: true, force: true });
});

async function open(
  options: Partial<TreeWatchOptions> & { ignored?: string[]; gitignore?: boolean } = {},
) {
  const lines: string[] = [];
  const { ignored = [], gitignore = false, directory = root } = options;
  tree = new TreeWatch({
    matcher: new IgnoreMatcher({ ignored, gitignore }, { apiPath: '/project', directory }),
    ...{ directory, clock: systemClock, maxEntries: 1000, maxDeletions: 1000 },
    onSystemEvent: () => {},
    emit: (_from, events) => {
      for (const event of events)
        lines.push(event.type === 'change' ? `${event.kind} ${event.path}` : event.type);
    },
    onFailed: () => lines.push('failed'),
    ...options,
  });
  await tree.open();
  const told = async (count: number) => {
    await until(() => lines.length >= count, { what: `${count} lines, of ${lines.join(', ')}` });
    return lines.splice(0);
  };
  return { tree, lines, told };
}

const write = (path: string, content = 'content') => writeFileSync(join(root, path), content);
const make = (path: string) => mkdirSync(join(root, path), { recursive: true });

it('follows a directory that is moved, with all that is in it and that comes later', async () => {
  make('a/b');
  write('a/b/old');
  const { told } = await open();
  renameSync(join(root, 'a'), join(root, 'c'));
  expect((await told(6)).toSorted()).toEqual([
    ...['add c/b/old', 'addDir c', 'addDir c/b', 'unlink a/b/old', 'unlinkDir a', 'unlinkDir a/b'],
  ]);
  write('c/b/new');
  expect(await told(1)).toEqual(['add c/b/new']);
});

it('tells a file that became a directory, and a link without following it', async () => {
  write('a');
  const { told } = await open();
  rmSync(join(root, 'a'));
  make('a');
  symlinkSync(tmpdir(), join(root, 'b'));
  expect((await told(3)).toSorted()).toEqual(['add b', 'addDir a', 'unlink a']);
});

it('tells the end of what is watched, and its return', async () => {
  make('watched');
  const { told } = await open({ directory: join(root, 'watched') });
  rmSync(join(root, 'watched'), { recursive: true });
  expect(await told(1)).toEqual(['unlinkDir ']);
  make('watched/inner');
  expect(await told(2)).toEqual(['addDir ', 'addDir inner']);
});

it('watches a single file, and what replaces it', async () => {
  write('a');
  const { told } = await open({ directory: join(root, 'a') });
  write('b');
  renameSync(join(root, 'b'), join(root, 'a'));
  expect(await told(1)).toEqual(['change ']);
  write('a', 'once more');
  expect(await told(1)).toEqual(['change ']);
});

it('does not tell what is gone before anybody could look', async () => {
  const { told } = await open();
  write('short');
  rmSync(join(root, 'short'));
  write('long');
  expect(await told(1)).toEqual(['add long']);
});

it('leaves out what a changed .gitignore names from then on, and takes the rest in', async () => {
  write('.gitignore', 'a\n');
  write('a');
  write('b');
  const { told } = await open({ gitignore: true });
  write('.gitignore', 'b\n');
  expect((await told(3)).toSorted()).toEqual(['add a', 'change .gitignore', 'unlink b']);
  write('b');
  write('c');
  expect(await told(1)).toEqual(['add c']);
});

it('tells no gap when nothing was dropped', async () => {
  make('a');
  const { tree: watched, told } = await open();
  watched.suspect();
  write('a/b');
  expect(await told(1)).toEqual(['add a/b']);
});

it('refuses a tree that is too large, and gives up on one that becomes so', async () => {
  for (const name of ['a', 'b', 'c']) write(name);
  await expect(open({ maxEntries: 3 })).rejects.toMatchObject({
    ...{ reason: 'LIMIT_REACHED', field: 'path' },
    message: expect.stringContaining('more than 3 files and directories'),
  });
  const { told } = await open({ maxEntries: 4 });
  write('d');
  expect(await told(3)).toEqual(['add d', 'trouble', 'failed']);
});
