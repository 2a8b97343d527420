import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { TreeEvent } from '../../../../server/agent/watcher/events.ts';
import { IgnoreMatcher } from '../../../../server/agent/watcher/ignore-matcher.ts';
import { TreeWatch } from '../../../../server/agent/watcher/tree-watch.ts';
import { type Clock, systemClock } from '../../../../server/core/clock.ts';
import { listTree } from '../../../support/mirror.ts';
import { RandomTree } from '../../../support/random-tree.ts';
import { report } from '../../../support/report.ts';
import { scaled, seed, seededRandom } from '../../../support/scale.ts';
import { delay, until } from '../../../support/until.ts';

const CYCLES = scaled(250);
/** How long operations go on in a cycle, in milliseconds. */
const BUSY_MS = 100;
/** So many names that a scan, which begins meanwhile, goes on for as long. */
const OTHER_FILES = 8000;
const SPEED = 25;
/** Pauses and delays are short, so that there are many turns. */
const fastClock: Clock = {
  now: systemClock.now,
  monotonic: () => SPEED * systemClock.monotonic(),
  setTimer: (task, delayMs) => systemClock.setTimer(task, delayMs / SPEED),
};

let root: string;
let project: string;
let tree: TreeWatch | undefined;

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'races-')));
  project = join(root, 'project');
});
afterEach(() => {
  tree?.close();
  rmSync(root, { recursive: true, force: true });
});

it('scans that meet changes lose nothing, neither then nor later', async () => {
  const others = join(root, 'others');
  mkdirSync(others);
  for (let index = 0; index < OTHER_FILES; index++) writeFileSync(join(others, `${index}`), '');
  mkdirSync(project);
  const random = seededRandom(seed);
  const operations = new RandomTree(project, random);
  const known = new Set<string>();
  tree = new TreeWatch({
    directory: root,
    matcher: new IgnoreMatcher(
      { ignored: [], gitignore: false },
      { apiPath: '/project', directory: root },
    ),
    ...{ clock: fastClock, maxEntries: 100_000, maxDeletions: 100_000 },
    onSystemEvent: () => {},
    emit: (_from, events) => take(known, events),
    onFailed: () => expect.unreachable('the watcher failed'),
  });
  await tree.open();
  let probes = 0;
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    // One scan: a second would make up for what a first did wrong.
    let suspectAt = random.below(BUSY_MS / 2);
    const startedAt = performance.now();
    for (let spent = 0; spent < BUSY_MS; spent = performance.now() - startedAt) {
      while (!operations.step());
      if (spent >= suspectAt) {
        tree.suspect();
        suspectAt = BUSY_MS;
      }
      await delay(1);
    }
    await sameAs(known, cycle);
    // A scan that goes on would find what nobody told.
    await delay(50);
    const directories = [...listTree(project)].filter(([, content]) => content === 'directory');
    const files = directories.map(([path]) => join(project, path, 'probe~'));
    for (const file of files) writeFileSync(file, '');
    await sameAs(known, cycle);
    for (const file of files) rmSync(file);
    await sameAs(known, cycle);
    probes += files.length;
  }
  report({ test: 'scans that meet changes', count: CYCLES, figures: { probes } });
});

async function sameAs(known: ReadonlySet<string>, cycle: number): Promise<void> {
  const differing = () => {
    const there = listTree(project);
    const untold = [...there.keys()].filter((path) => !known.has(path));
    return [...untold, ...[...known].filter((path) => !there.has(path))];
  };
  await until(() => differing().length === 0, { what: 'what was told to be all' }).catch(() =>
    expect(differing(), `seed ${seed}, cycle ${cycle}`).toEqual([]),
  );
}

/** Takes in what is told of the project. */
function take(known: Set<string>, events: readonly TreeEvent[]): void {
  for (const event of events) {
    if (event.type !== 'change' || !event.path.startsWith('project/')) continue;
    const path = event.path.slice('project/'.length);
    if (event.kind === 'unlink' || event.kind === 'unlinkDir') known.delete(path);
    else known.add(path);
  }
}
