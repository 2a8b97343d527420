import { deferred } from '../../server/core/deferred.ts';
import { delay } from '../../test/support/until.ts';
import type { Target } from '../figures.ts';
import { type Line, type Program, runUntilReady } from '../lines/line.ts';
import { sdkLine } from '../lines/sdk-line.ts';
import { relayLine } from '../lines/socket-line.ts';
import type { Stage } from '../stage.ts';
import { childrenOf, cpuMicroseconds } from '../support/cpu-time.ts';
import { median } from '../support/statistics.ts';

/** Echoes every byte. */
export const ECHO = { before: 'stty raw -echo', main: 'exec cat' } as const;
/** What everything is compared with. */
const CONTROL = 'ssh -tt';
/** Between two keys of a person, in milliseconds. */
const PACE_MS = 60;
/** Rounds before processor time is measured: until then compilers run. */
const WARM_UP = 10;
const TARGET: Target = { of: 'ratio', bound: 'at most', limit: 2, chase: 1.2 };

/** How long one keystroke takes to come back. */
export async function measureEcho(stage: Stage): Promise<void> {
  const { scale } = stage;
  const seats = await Promise.all((await stage.lines()).map(sit));
  try {
    for (const { program } of seats) await keys(program, scale.keys);
    await processorTime(stage);
    await rounds(stage, seats, 'one after another', async ({ program }) =>
      keys(program, scale.keys),
    );
    await rounds(stage, seats, "at a person's pace", ({ program }) =>
      keys(program, scale.slowKeys, PACE_MS),
    );
  } finally {
    for (const { program } of seats) await program.close();
  }
}

/**
 * What a key costs each process, which other work on the machine changes little, and what it costs two
 * that only pass it on.
 */
async function processorTime(stage: Stage): Promise<void> {
  const { gateway } = stage;
  const relay = stage.adopt(await relayLine(stage.directory));
  const bare = await costs(stage, await sit(relay), {
    'bare relay': relay.pid,
    'bare pty server': childrenOf(relay.pid)[0] ?? 0,
    'client of a bare WebSocket': process.pid,
  });
  const { sandbox, access } = await stage.newSandbox();
  const line = await sdkLine(access, 'websocket');
  const seat = await sit(line);
  const pids = {
    gateway: gateway.pid,
    agent: gateway.agentPids(sandbox.id)[0] ?? 0,
    client: process.pid,
  };
  await costs(stage, seat, pids, bare);
  await line.close();
  await sandbox.destroy();
}

type Cost = { readonly name: string; readonly values: readonly number[] };

/** What a key costs processes, each compared with the control at its place. */
async function costs(
  { scale, figures }: Stage,
  { program }: Seat,
  pids: Readonly<Record<string, number>>,
  controls: readonly Cost[] = [],
): Promise<Cost[]> {
  await keys(program, WARM_UP * scale.keys);
  const all: Cost[] = [];
  for (const [name, pid] of Object.entries(pids)) {
    const values: number[] = [];
    for (let round = 0; round < scale.repeats; round++) {
      const before = cpuMicroseconds(pid);
      await keys(program, scale.keys);
      values.push((cpuMicroseconds(pid) - before) / scale.keys);
    }
    const control = controls[all.length];
    const what = `processor time of the ${name} for a key`;
    figures.add({ suite: 'echo', what, unit: 'µs', values, ...(control && { control }) });
    all.push({ name, values });
  }
  return all;
}

/** Types keys, one after another. Returns the milliseconds that each took. */
export async function keys(program: Program, count: number, paceMs = 0): Promise<number[]> {
  const taken: number[] = [];
  for (let index = 0; index < count; index++) {
    if (paceMs > 0) await delay(paceMs);
    taken.push(await key(program));
  }
  return taken;
}

/** Types one key. Returns after how many milliseconds it was echoed. */
export function key(program: Program): Promise<number> {
  const { promise, resolve } = deferred<number>();
  const startedAt = performance.now();
  program.onData = () => resolve(performance.now() - startedAt);
  program.write('x');
  return promise;
}

type Seat = { readonly name: string; readonly program: Program; values: number[]; all: number[] };

async function sit(line: Line): Promise<Seat> {
  return { name: line.name, program: await runUntilReady(line, ECHO), values: [], all: [] };
}

/** Measures the ways in turn, again and again, so that all see the same machine. */
async function rounds(
  { scale, figures }: Stage,
  seats: readonly Seat[],
  how: string,
  measure: (seat: Seat) => Promise<number[]>,
): Promise<void> {
  for (const seat of seats) [seat.values, seat.all] = [[], []];
  for (let round = 0; round < scale.repeats; round++) {
    for (const seat of seats) {
      const taken = await measure(seat);
      seat.values.push(median(taken));
      seat.all.push(...taken);
    }
  }
  const control = seats.find(({ name }) => name === CONTROL);
  for (const seat of seats) {
    const isOurs = seat.name === 'SDK, WebSocket';
    figures.add({
      ...{ suite: 'echo', what: `key ${how}: ${seat.name}`, unit: 'ms' },
      ...{ values: seat.values, samples: seat.all },
      ...(control && seat !== control && { control: { ...control } }),
      ...(isOurs && { target: TARGET }),
    });
  }
}
