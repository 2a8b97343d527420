// Run as a process of its own, of a gateway's size: the benchmark's own collecting would be measured with
// it. The argument says how many agents to start. Prints, as JSON, how many milliseconds each took to answer.
import { systemClock } from '../../server/core/clock.ts';
import { silentLogger } from '../../server/core/log.ts';
import { openDriver } from '../../server/driver/open-driver.ts';
import { AgentClient } from '../../server/gateway/rpc/agent-client.ts';
import { BoxBench } from '../../test/server/driver/support/box-bench.ts';

/** A box that does not answer within this time, in milliseconds, never will. */
const PATIENCE_MS = 20_000;

/** So much more a gateway holds that runs from its sources: for each program it starts, its pages are mapped anew. */
const BALLAST_BYTES = 46 * 1024 ** 2;
const ballast = Buffer.alloc(BALLAST_BYTES, 1);

const count = Number(process.argv[2]);
const signal = AbortSignal.timeout(PATIENCE_MS * (count + 1));
const { driver, egress } = await openDriver({ name: 'bubblewrap', logger: silentLogger }, signal);
const bench = await BoxBench.open(driver);
const control = new AgentClient(systemClock);
const taken: number[] = [];
try {
  for (let index = 0; index <= count; index++) {
    const startedAt = performance.now();
    const box = await bench.start({ egress });
    const greeted = await control.greet(box.endpoint, { signal, onKeepAlive: () => {} });
    // The first one fills the caches of the disk.
    if (index > 0) taken.push(performance.now() - startedAt);
    greeted.leave();
    await bench.clear();
  }
} finally {
  await bench.close();
  driver.close();
}
console.log(JSON.stringify(taken));
// Held until here.
ballast.fill(0);
