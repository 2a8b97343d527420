import { Sandbox } from '../../client/index.ts';
import { type Program, runUntilReady } from '../lines/line.ts';
import { runIn } from '../lines/sdk-line.ts';
import type { Stage } from '../stage.ts';
import { ECHO, key } from './echo.ts';

/** A sandbox takes 64 of them. */
const TERMINALS_PER_SANDBOX = 50;

/** Many terminals that are opened at once, and typed into at once. */
export async function measureTerminals(stage: Stage): Promise<void> {
  const { scale, figures } = stage;
  const sandboxes = await connectEnough(stage, scale.terminals);
  const [opened, echoed]: [number[], number[]] = [[], []];
  for (let round = 0; round < scale.repeats; round++) {
    const startedAt = performance.now();
    const programs = await openTerminals(sandboxes, scale.terminals);
    opened.push(performance.now() - startedAt);
    const typedAt = performance.now();
    await Promise.all(programs.map(key));
    echoed.push(performance.now() - typedAt);
    await Promise.all(programs.map((program) => program.close()));
  }
  const many = `${scale.terminals} terminals at once`;
  figures.add({ suite: 'terminals', what: `${many}: all opened`, unit: 'ms', values: opened });
  figures.add({ suite: 'terminals', what: `${many}: a key in all`, unit: 'ms', values: echoed });
}

/** Connections to as many sandboxes as so many terminals need. */
export async function connectEnough(stage: Stage, terminals: number): Promise<Sandbox[]> {
  const count = Math.ceil(terminals / TERMINALS_PER_SANDBOX);
  const connect = async () => stage.adopt(await Sandbox.connect((await stage.newSandbox()).access));
  return await Promise.all(Array.from({ length: count }, connect));
}

/** Opens terminals that echo, spread over sandboxes. */
export async function openTerminals(
  sandboxes: readonly Sandbox[],
  count: number,
): Promise<Program[]> {
  const open = (index: number) => {
    const sandbox = sandboxes[Math.floor(index / TERMINALS_PER_SANDBOX)];
    if (!sandbox) throw new Error('there are not enough sandboxes');
    const run = (command: string) => runIn(sandbox, command);
    return runUntilReady({ name: '', run, close: async () => {} }, ECHO);
  };
  return await Promise.all(Array.from({ length: count }, (_, index) => open(index)));
}
