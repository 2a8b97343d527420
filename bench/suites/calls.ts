import type { Stage } from '../stage.ts';
import { rawClient } from '../support/raw-client.ts';

/** How many are under way at once. */
const CONCURRENCY = [1, 16];

/** How many calls a second pass, one client at a time. */
export async function measureCalls(stage: Stage): Promise<void> {
  const { sandbox } = await stage.newSandbox();
  for (const concurrency of CONCURRENCY) {
    for (const { to, transport, values } of await rounds(stage, sandbox, concurrency)) {
      const what = `calls to the ${to} over ${transport}, ${concurrency} at a time`;
      stage.figures.add({ suite: 'calls', what, unit: 'calls/s', values });
    }
  }
}

async function rounds(
  stage: Stage,
  sandbox: Awaited<ReturnType<Stage['newSandbox']>>['sandbox'],
  concurrency: number,
) {
  const rows = (['websocket', 'http'] as const).flatMap((transport) =>
    (['agent', 'gateway'] as const).map((to) => ({ to, transport, values: [] as number[] })),
  );
  for (let round = 0; round < stage.scale.repeats; round++) {
    for (const { to, transport, values } of rows) {
      // A credential of its own: each may make so many calls in a second.
      const client = rawClient(await stage.newAccess(sandbox), transport);
      const call = () =>
        to === 'agent' ? client.terminals.listTerminals({}) : client.auth.whoAmI({});
      await call();
      values.push(await rate(call, stage.scale.calls, concurrency));
      await client.close();
    }
  }
  return rows;
}

/** Calls a second. */
async function rate(
  call: () => Promise<unknown>,
  count: number,
  concurrency: number,
): Promise<number> {
  let left = count;
  const startedAt = performance.now();
  const work = async () => {
    while (left > 0) {
      left -= 1;
      await call();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return count / ((performance.now() - startedAt) / 1_000);
}
