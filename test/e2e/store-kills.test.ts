import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Store } from '../../server/gateway/store/store.ts';
import { AccessLedger } from '../support/access-ledger.ts';
import { nodePath, repositoryRoot } from '../support/paths.ts';
import { report } from '../support/report.ts';
import { type SeededRandom, scaled, seed, seededRandom } from '../support/scale.ts';

const KILLS = scaled(500);
/** Kills of one database. The ledger is compared after each, so this bounds the work. */
const KILLS_PER_DATABASE = 10;
/** Databases at a time: a start takes longer than a life. */
const LANES = 3;
/** How many acknowledgements a process lives for, at least, and how many more it may. */
const SHORTEST_LIFE = 10;
const LIFE_SPREAD = 60;
/** From the last acknowledgement that it lives for, in milliseconds: the middle of some write. */
const KILL_SPREAD_MS = 8;
const WRITER = join(repositoryRoot, 'test/server/gateway/store/access-writer.ts');

type Counts = { tokens: number; revoked: number; links: number; redeemed: number };

it('kill -9 of the process of the store loses no revocation and spends no link twice', async () => {
  const counts: Counts = { tokens: 0, revoked: 0, links: 0, redeemed: 0 };
  let left = KILLS;
  const lane = async (index: number) => {
    const random = seededRandom(seed + index);
    while (left > 0) {
      const kills = Math.min(left, KILLS_PER_DATABASE);
      left -= kills;
      await killAgainAndAgain({ kills, random, counts });
    }
  };
  await Promise.all(Array.from({ length: LANES }, (_, index) => lane(index)));
  report({ test: 'kill -9 of the process of the store', count: KILLS, figures: counts });
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(KILLS);
});

/** Kills the processes of one database, one after the other, and looks at it after each. */
async function killAgainAndAgain(options: {
  readonly kills: number;
  readonly random: SeededRandom;
  readonly counts: Counts;
}): Promise<void> {
  const { random, counts } = options;
  const directory = mkdtempSync(join(tmpdir(), 'computesdk-store-'));
  const ledger = new AccessLedger();
  for (let kill = 0; kill < options.kills; kill++) {
    const lines = SHORTEST_LIFE + random.below(LIFE_SPREAD);
    await writeAndKill(ledger, { directory, lines, afterMs: random.below(KILL_SPREAD_MS) });
    expect(ledger.problems(directory), `seed ${seed}, kill ${kill}`).toEqual([]);
  }
  // As a gateway opens it.
  await (await Store.open(directory)).close();
  expect(ledger.problems(directory)).toEqual([]);
  counts.tokens += ledger.tokens.length;
  counts.revoked += ledger.revoked.length;
  counts.links += ledger.links.length;
  counts.redeemed += ledger.winners.size;
  rmSync(directory, { recursive: true });
}

/** Lets a process write until it has printed so many lines, and kills it. */
async function writeAndKill(
  ledger: AccessLedger,
  life: { readonly directory: string; readonly lines: number; readonly afterMs: number },
): Promise<void> {
  const child = spawn(nodePath, [WRITER, life.directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {},
  });
  const exited = once(child, 'close');
  let text = '';
  let isKilled = false;
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    if (isKilled || text.split('\n').length <= life.lines) return;
    isKilled = true;
    setTimeout(() => child.kill('SIGKILL'), life.afterMs);
  });
  await exited;
  if (!isKilled) throw new Error(`the writer ended by itself:\n${text}`);
  for (const line of text.split('\n').slice(0, -1)) ledger.note(line);
}
