import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BubblewrapDriver } from '../../../../server/driver/bubblewrap-driver.ts';
import type { Egress } from '../../../../server/driver/driver.ts';
import { writeCommandAgent } from './command-agent.ts';

/**
 * Whether real boxes with this network can be made here. If not, it says so loudly, with the fix; in
 * CI it throws, since a suite that is left out there looks like one that passed.
 */
export async function canBox(egress: Egress): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'trial-'));
  const driver = new BubblewrapDriver({ program: writeCommandAgent(directory), egress });
  try {
    await driver.verify(AbortSignal.timeout(20_000));
    return true;
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    const message = `NOT TESTED: boxes with egress ${egress} cannot be made here. ${problem}`;
    if (process.env['CI'] === 'true') throw new Error(message, { cause: error });
    process.stderr.write(`\n${'#'.repeat(80)}\n${message}\n${'#'.repeat(80)}\n\n`);
    return false;
  } finally {
    driver.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
