import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { isSoak } from './scale.ts';

/** As many starts of Node.js may what must happen at once take where suites share the machine. */
const STARTS = 10;

/**
 * What something may take, in milliseconds: as it was asked for in the soak, which has the machine to
 * itself. Otherwise in proportion to what the machine takes for a start of Node.js meanwhile.
 */
export async function timeBound(ms: number): Promise<number> {
  return isSoak ? ms : STARTS * (await startMs());
}

async function startMs(): Promise<number> {
  const startedAt = performance.now();
  await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'exit');
  return performance.now() - startedAt;
}
