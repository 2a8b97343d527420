import { residentBytes } from '../../test/support/processes.ts';
import { delay } from '../../test/support/until.ts';
import type { Program } from '../lines/line.ts';
import type { Stage } from '../stage.ts';
import { median } from '../support/statistics.ts';
import { key, keys } from './echo.ts';
import { createToPrompt } from './starts.ts';
import { connectEnough, openTerminals } from './terminals.ts';

const suite = 'growth';
/** Between two keys of a person, in milliseconds. */
const PACE_MS = 100;

/** What becomes of the figures when there is more of everything. */
export async function measureGrowth(stage: Stage): Promise<void> {
  for (const count of stage.scale.growth) {
    const sandboxes = await connectEnough(stage, count);
    const programs = await openTerminals(sandboxes, count);
    await echoes(stage, programs);
    await Promise.all(programs.map((program) => program.close()));
  }
  for (const count of stage.scale.growth) await starts(stage, count);
}

/** One of many terminals is typed into; then all of them are. */
async function echoes({ scale, figures }: Stage, programs: readonly Program[]): Promise<void> {
  const [first] = programs;
  if (!first) return;
  const [alone, all]: [number[], number[]] = [[], []];
  for (let round = 0; round < scale.repeats; round++) {
    alone.push(median(await keys(first, scale.keys)));
    all.push(
      ...(await Promise.all(programs.map((program) => type(program, scale.slowKeys)))).flat(),
    );
  }
  const terminals = programs.length === 1 ? '1 terminal' : `${programs.length} terminals`;
  figures.add({ suite, what: `key in one of ${terminals}`, unit: 'ms', values: alone });
  figures.add({
    suite,
    what: `keys of 10 a second in each of ${terminals}`,
    unit: 'ms',
    values: all,
  });
}

async function type(program: Program, count: number): Promise<number[]> {
  await delay(Math.random() * PACE_MS);
  const taken: number[] = [];
  for (let index = 0; index < count; index++) {
    await delay(PACE_MS);
    taken.push(await key(program));
  }
  return taken;
}

/** Sandboxes that are created at once, and what the gateway needs while they are there. */
async function starts(stage: Stage, count: number): Promise<void> {
  const { figures, gateway, compute } = stage;
  const values = await Promise.all(Array.from({ length: count }, () => createToPrompt(stage)));
  const together = count === 1 ? '1 sandbox' : `${count} sandboxes`;
  figures.add({ suite, what: `${together} at once, create to prompt`, unit: 'ms', values });
  const before = residentBytes(gateway.pid);
  const sandboxes = await Promise.all(
    Array.from({ length: count }, () => compute.sandbox.create()),
  );
  const kilobytes = (residentBytes(gateway.pid) - before) / 1_000;
  figures.add({ suite, what: `gateway, for ${together}`, unit: 'KB', values: [kilobytes] });
  await Promise.all(sandboxes.map((sandbox) => sandbox.destroy()));
}
