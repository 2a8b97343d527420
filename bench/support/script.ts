import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { nodePath } from '../../test/support/paths.ts';

/** A script of ours in a process of its own. */
export type RunningScript = {
  readonly pid: number;
  /** The first line that it printed. */
  readonly said: string;
  /** Resolves when it has ended by itself, or by {@link RunningScript.close}. */
  readonly ended: Promise<unknown>;
  close(): Promise<void>;
};

/** Starts a script and waits for its first line. */
export async function startScript(
  path: string,
  args: readonly string[],
  prefix: readonly string[] = [],
): Promise<RunningScript> {
  const [program = nodePath, ...rest] = [...prefix, nodePath, path, ...args];
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const lines = createInterface(child.stdout);
  const silent = ended.then(() => {
    throw new Error(`${path} ended and said nothing`);
  });
  const [said] = await Promise.race([once(lines, 'line'), silent]);
  return {
    pid: child.pid ?? 0,
    said: String(said),
    ended,
    close: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
