import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Sandbox } from '../../client/index.ts';
import { ChaosProxy } from '../support/chaos-proxy.ts';
import { TestGateway } from '../support/gateway.ts';
import { differences, listTree, Mirror } from '../support/mirror.ts';
import { RandomTree } from '../support/random-tree.ts';
import { report } from '../support/report.ts';
import { isSoak, scaled, seed, seededRandom } from '../support/scale.ts';
import { delay, until } from '../support/until.ts';
import { watchedSandbox } from '../support/watching.ts';

const OPERATIONS = scaled(20_000);
const CUTS = 20;
/** Cuts after which the watcher must be heard: each before that lengthens its pause, up to 30 s. */
const CUTS_IN_A_ROW = 4;
const OVERFLOWS = 3;
/** While the agent is stopped. More than the system keeps: a file makes two events, of 16,384. */
const STOPPED_OPERATIONS = Math.max(scaled(40_000), 12_000);
const DIRECTORIES = 8;
/** Operations between two chances for the agent to run. */
const BATCH = 25;
const QUIET_MS = isSoak ? 180_000 : 60_000;

it(
  'a mirror made from the events equals the tree, through cuts and overflows',
  async () => {
    await using gateway = await TestGateway.start();
    await using proxy = await ChaosProxy.open({ port: gateway.port });
    const { owned, token, project } = await watchedSandbox(gateway);
    const sandbox = await Sandbox.connect({ url: proxy.through(owned.url), token });
    const watcher = await sandbox.watcher.create('/project', { includeContent: true });
    const mirror = new Mirror(watcher);
    const errors: string[] = [];
    watcher.on('error', ({ code, message }) => errors.push(`${code}: ${message}`));
    const tree = new RandomTree(project, seededRandom(seed));
    const [agent] = gateway.agentPids(owned.id);
    if (agent === undefined) throw new Error('the agent does not run');

    const stopEvery = Math.ceil(OPERATIONS / (OVERFLOWS + 1));
    const cutEvery = Math.floor(OPERATIONS / CUTS);
    for (let directory = 0; directory < DIRECTORIES; directory++)
      mkdirSync(join(project, 'bursts', `${directory}`), { recursive: true });
    let overflows = 0;
    let changesAtCut = 0;
    for (let operation = 1; operation <= OPERATIONS; operation++) {
      while (!tree.step());
      if (operation % cutEvery === 0) {
        if (proxy.counters.cuts % CUTS_IN_A_ROW === 0)
          await until(() => mirror.changes > changesAtCut, { what: 'a change since the last cut' });
        await cut(proxy);
        changesAtCut = mirror.changes;
      }
      if (operation % BATCH === 0) await delay(operation % (10 * BATCH) === 0 ? 120 : 5);
      if (operation % stopEvery !== 0 || overflows === OVERFLOWS) continue;
      await until(() => mirror.gaps >= overflows, {
        what: 'the gap of the overflow before',
        withinMs: QUIET_MS,
      });
      overflows += 1;
      await delay(300);
      process.kill(agent, 'SIGSTOP');
      try {
        overflow(project, overflows);
      } finally {
        process.kill(agent, 'SIGCONT');
      }
    }

    const startedAt = performance.now();
    await until(() => differences(mirror.entries, listTree(project)).length === 0, {
      what: 'the mirror to equal the tree',
      withinMs: QUIET_MS,
    }).catch(() => undefined);
    const convergedMs = performance.now() - startedAt;
    // With an incomplete one a mirror would have to list the tree again.
    expect(mirror.incompleteGaps).toBe(0);
    expect(differences(mirror.entries, listTree(project)).slice(0, 20)).toEqual([]);
    report({
      test: 'a mirror of a tree through cuts and overflows',
      count: OPERATIONS,
      figures: {
        entries: mirror.entries.size,
        changes: mirror.changes,
        gaps: mirror.gaps,
        cuts: proxy.counters.cuts,
        overflows,
        convergedMs,
      },
    });
    expect(errors).toEqual([]);
    // What the run is worth.
    expect(proxy.counters.cuts).toBe(CUTS);
    expect(mirror.gaps).toBeGreaterThanOrEqual(OVERFLOWS);
    await sandbox.disconnect();
    await owned.destroy();
  },
  isSoak ? 900_000 : 150_000,
);

/** Cuts every connection, once there is one with a call under way. */
async function cut(proxy: ChaosProxy): Promise<void> {
  const isBusy = () => proxy.openConnections.some(({ calls }) => calls.length > 0);
  await until(isBusy, { what: 'a call to cut' });
  proxy.cutAll();
}

/** More events in directories that are watched than the system keeps. Undoes those of the turn before. */
function overflow(project: string, turn: number): void {
  for (let operation = 0; operation < STOPPED_OPERATIONS; operation++) {
    const directory = join(project, 'bursts', `${operation % DIRECTORIES}`);
    writeFileSync(join(directory, `${turn} ${operation}`), `${turn}`);
    rmSync(join(directory, `${turn - 1} ${operation}`), { force: true });
  }
}
