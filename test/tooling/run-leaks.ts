import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processesOf } from './process-search.ts';

/** Programs that are being ended need a moment; one that is still there after this is a leak. */
const GRACE_MS = 5_000;
const POLL_MS = 50;

/**
 * Gives the run a temporary directory of its own, and fails the run when a process that has to do
 * with it is left at the end.
 */
export function setup(): () => Promise<void> {
  // Short, because paths of Unix sockets are limited to 107 bytes.
  const directory = mkdtempSync(join(tmpdir(), 'csdk-'));
  // Boxes run as other users and must get at what lies below.
  chmodSync(directory, 0o755);
  process.env['TMPDIR'] = directory;
  return async () => {
    const deadline = performance.now() + GRACE_MS;
    while (processesOf(directory).length > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    const left = processesOf(directory);
    for (const { pid, command, evidence } of left) {
      console.error(`LEFT BEHIND ${pid} (${evidence}): ${command.slice(0, 200)}`);
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has just ended.
      }
    }
    if (left.length > 0) process.exitCode = 1;
    rmSync(directory, { recursive: true, force: true });
  };
}
