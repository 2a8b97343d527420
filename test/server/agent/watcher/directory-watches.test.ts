import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DirectoryWatches } from '../../../../server/agent/watcher/directory-watches.ts';
import { IgnoreMatcher } from '../../../../server/agent/watcher/ignore-matcher.ts';
import { until } from '../../../support/until.ts';

/** More names than a scan looks at before others have their turn. */
const MANY_NAMES = 600;

let root: string;
let watches: DirectoryWatches;
let hints: string[];

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'watches-')));
  hints = [];
  watches = new DirectoryWatches({
    directory: root,
    matcher: new IgnoreMatcher(
      { ignored: [], gitignore: false },
      { apiPath: '/project', directory: root },
    ),
    maxEntries: 10_000,
    onSystemEvent: () => {},
    onHint: (path) => hints.push(path),
    onTrouble: (error) => hints.push(error.message),
  });
});

afterEach(() => {
  watches.close();
  rmSync(root, { recursive: true, force: true });
});

const make = (path: string) => mkdirSync(join(root, path));
const remove = (path: string) => rmSync(join(root, path), { recursive: true });
const write = (path: string) => writeFileSync(join(root, path), '');
const scan = () => watches.scan(() => {});

it('watches no longer what a scan does not find', async () => {
  make('directory');
  await scan();
  expect(watches.has('directory')).toBe(true);
  remove('directory');
  await scan();
  expect(watches.has('directory')).toBe(false);
});

it('goes on watching a directory that came back and was watched while a scan went on', async () => {
  for (let i = 0; i < MANY_NAMES; i += 1) write(`${i}`);
  make('directory');
  await scan();
  remove('directory');
  const scanned = scan();
  make('directory');
  watches.watch('directory');
  await scanned;
  expect(watches.has('directory')).toBe(true);
  write('directory/file');
  await until(() => hints.includes('directory/file'), { what: 'a hint of the file' });
});
