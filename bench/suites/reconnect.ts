import { Sandbox } from '../../client/index.ts';
import { ChaosProxy } from '../../test/support/chaos-proxy.ts';
import { delay } from '../../test/support/until.ts';
import { runUntilReady } from '../lines/line.ts';
import { runIn } from '../lines/sdk-line.ts';
import type { Stage } from '../stage.ts';
import { ECHO, key } from './echo.ts';

/** Between two cuts, in milliseconds: all is quiet again. */
const PAUSE_MS = 100;

/** How long after a cut a key is echoed again, where the network is back at once. */
export async function measureReconnect(stage: Stage): Promise<void> {
  for (const transport of ['websocket', 'http'] as const) {
    await using proxy = await ChaosProxy.open({ port: stage.gateway.port });
    const { access } = await stage.newSandbox();
    const url = proxy.through(access.url);
    await using sandbox = await Sandbox.connect({ ...access, url, transport });
    const run = (command: string) => runIn(sandbox, command);
    const program = await runUntilReady({ name: '', run, close: async () => {} }, ECHO);
    const values: number[] = [];
    for (let cut = 0; cut < stage.scale.cuts; cut++) {
      await delay(PAUSE_MS);
      proxy.cutAll();
      values.push(await key(program));
    }
    stage.figures.add({
      ...{ suite: 'reconnect', what: `cut to the next key's echo over ${transport}`, unit: 'ms' },
      values,
      ...(transport === 'websocket' && {
        target: { of: 'median', bound: 'at most', limit: 150 },
      }),
    });
  }
}
