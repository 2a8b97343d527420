import { join } from 'node:path';
import { HeldProgram, seen } from '../lines/line.ts';
import type { Stage } from '../stage.ts';
import { startScript } from '../support/script.ts';

/** How long a sandbox takes until it can be used. */
export async function measureStarts(stage: Stage): Promise<void> {
  const { figures, scale } = stage;
  await createToPrompt(stage);
  const prompts: number[] = [];
  for (let index = 0; index < scale.starts; index++) prompts.push(await createToPrompt(stage));
  figures.add({
    ...{ suite: 'starts', what: 'sandbox.create() to the first prompt', unit: 'ms' },
    values: prompts,
    target: { of: 'median', bound: 'at most', limit: 400 },
  });
  figures.add({
    ...{ suite: 'starts', what: 'agent: spawn in its box to the first answer', unit: 'ms' },
    values: await agentStarts(scale.starts),
    target: { of: 'median', bound: 'at most', limit: 150, chase: 80 },
  });
}

/** Milliseconds from nothing to a shell that waits for a command. */
export async function createToPrompt({ compute }: Stage): Promise<number> {
  const startedAt = performance.now();
  const sandbox = await compute.sandbox.create();
  const terminal = await sandbox.terminal.create({ pty: true });
  const program = new HeldProgram({ write: () => {}, close: async () => {} });
  const prompted = seen(program, '$ ');
  terminal.on('data', (bytes) => program.onData(bytes));
  await prompted;
  const taken = performance.now() - startedAt;
  await sandbox.destroy();
  return taken;
}

/** Milliseconds from the start of an agent in its box to its first answer, for each of so many. */
async function agentStarts(count: number): Promise<number[]> {
  const script = join(import.meta.dirname, '..', 'support', 'agent-starts.ts');
  const { said, ended } = await startScript(script, [`${count}`]);
  await ended;
  return JSON.parse(said) as number[]; // The script above prints them.
}
