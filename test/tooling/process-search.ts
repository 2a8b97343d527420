import { readFileSync } from 'node:fs';
import { environmentHas, listProcesses, type ProcessInfo } from '../support/processes.ts';

/** A process, and how it is known to belong to a directory. */
export type FoundProcess = {
  readonly pid: number;
  readonly command: string;
  readonly evidence: 'command' | 'environment' | 'mounts' | 'working directory';
};

/** The test runner's workers hold the directory in their environment and end by themselves. */
const RUNNER = /vitest/;

/**
 * The processes that have to do with a directory: it stands in their command or environment, they
 * work in it, or it is mounted in their box (what runs in a box has a clean environment). The
 * process itself and the test runner's workers do not count.
 */
export function processesOf(directory: string): FoundProcess[] {
  return (
    listProcesses()
      // Without a command line it is a kernel thread or a zombie.
      .filter(({ pid, command }) => pid !== process.pid && command !== '' && !RUNNER.test(command))
      .map((info) => inspect(info, directory))
      .filter((found) => found !== undefined)
  );
}

function inspect(info: ProcessInfo, directory: string): FoundProcess | undefined {
  const { pid, command, cwd } = info;
  const found = (evidence: FoundProcess['evidence']) => ({ pid, command, evidence });
  if (command.includes(directory)) return found('command');
  if (environmentHas(pid, directory)) return found('environment');
  if (mounts(pid).includes(directory)) return found('mounts');
  if (cwd.startsWith(directory)) return found('working directory');
  return undefined;
}

function mounts(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
  } catch {
    return '';
  }
}
