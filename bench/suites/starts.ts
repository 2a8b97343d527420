import { systemClock } from '../../server/core/clock.ts';
import { silentLogger } from '../../server/core/log.ts';
import { openDriver } from '../../server/driver/open-driver.ts';
import { AgentClient } from '../../server/gateway/rpc/agent-client.ts';
import { BoxBench } from '../../test/server/driver/support/box-bench.ts';
import { HeldProgram, seen } from '../lines/line.ts';
import type { Stage } from '../stage.ts';

/** A box that does not answer within this time, in milliseconds, never will. */
const PATIENCE_MS = 20_000;

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

async function agentStarts(count: number): Promise<number[]> {
  const signal = AbortSignal.timeout(PATIENCE_MS * (count + 1));
  const { driver, egress } = await openDriver({ name: 'bubblewrap', logger: silentLogger }, signal);
  const bench = await BoxBench.open(driver);
  const control = new AgentClient(systemClock);
  try {
    const taken: number[] = [];
    for (let index = 0; index <= count; index++) {
      const startedAt = performance.now();
      const box = await bench.start({ egress });
      const greeted = await control.greet(box.endpoint, { signal, onKeepAlive: ignore });
      // The first one fills the caches of the disk.
      if (index > 0) taken.push(performance.now() - startedAt);
      greeted.leave();
      await bench.clear();
    }
    return taken;
  } finally {
    await bench.close();
    driver.close();
  }
}

function ignore(): void {}
