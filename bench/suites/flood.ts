import { join } from 'node:path';
import { Sandbox } from '../../client/index.ts';
import { delay } from '../../test/support/until.ts';
import { type Program, runUntilReady } from '../lines/line.ts';
import { runIn } from '../lines/sdk-line.ts';
import type { Stage } from '../stage.ts';
import { startScript } from '../support/script.ts';
import { quantile } from '../support/statistics.ts';
import { ECHO, key } from './echo.ts';
import { floodOf, printing } from './throughput.ts';

/** Speed of the link, in bytes a second. */
const LINK_BYTES_PER_SECOND = 10_000_000;
const FLOODS = 4;
const FILE_BYTES = 10_000_000;
/** Between two keys, in milliseconds. */
const PACE_MS = 25;
/** How long floods run before anything is measured, in milliseconds. */
const WARM_UP_MS = 1_000;

/** How long a key takes while other terminals of the same connection fill a slow link. */
export async function measureFlood(stage: Stage): Promise<void> {
  const { gateway, figures } = stage;
  const script = join(import.meta.dirname, '..', 'support', 'slow-link.ts');
  const link = stage.adopt(
    await startScript(script, [String(gateway.port), String(LINK_BYTES_PER_SECOND)]),
  );
  const { access } = await stage.newSandbox();
  const url = access.url.replace(/:\d+\//, `:${link.said}/`);
  await using sandbox = await Sandbox.connect({ ...access, url, transport: 'websocket' });
  const line = {
    name: '',
    run: (command: string) => runIn(sandbox, command),
    close: async () => {},
  };
  const program = await runUntilReady(line, ECHO);
  const quiet = await echoes(stage, program);
  const floods: Program[] = [];
  for (let index = 0; index < FLOODS; index++) {
    floods.push(await runUntilReady(line, printing(floodOf(FILE_BYTES))));
  }
  let bytes = 0;
  for (const flood of floods) {
    flood.onData = (data) => (bytes += data.length);
    flood.write('\n');
  }
  await delay(WARM_UP_MS);
  const [startedAt, bytesBefore] = [performance.now(), bytes];
  const busy = await echoes(stage, program);
  const rate = (bytes - bytesBefore) / 1_000 / (performance.now() - startedAt);
  const suite = 'flood';
  figures.add({ suite, what: 'key on a 10 MB/s link', unit: 'ms', ...quiet });
  figures.add({
    ...{ suite, what: `the same while ${FLOODS} terminals flood it`, unit: 'ms', ...busy },
    target: { of: 'p99', bound: 'at most', limit: 100, chase: 54 },
  });
  figures.add({ suite, what: 'what the floods got through', unit: 'MB/s', values: [rate] });
}

async function echoes(
  { scale }: Stage,
  program: Program,
): Promise<{ readonly values: number[]; readonly samples: number[] }> {
  const [values, samples]: [number[], number[]] = [[], []];
  for (let round = 0; round < scale.repeats; round++) {
    const taken: number[] = [];
    for (let index = 0; index < Math.ceil(scale.floodKeys / scale.repeats); index++) {
      await delay(PACE_MS);
      taken.push(await key(program));
    }
    values.push(quantile(taken, 0.5));
    samples.push(...taken);
  }
  return { values, samples };
}
