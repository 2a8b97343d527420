import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { isSoak } from './scale.ts';

/** By as many starts of Node.js may something be late where suites share the machine. */
const STARTS = 10;

/**
 * What something may take, in milliseconds: what was asked for in the soak, which has the machine to
 * itself. Otherwise more, in proportion to what the machine takes for a start of Node.js meanwhile.
 */
export async function timeBound(ms: number): Promise<number> {
  return isSoak ? ms : ms + STARTS * (await startMs());
}

async function startMs(): Promise<number> {
  const startedAt = performance.now();
  await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'exit');
  return performance.now() - startedAt;
}
