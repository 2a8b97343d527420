import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process, and how it is known to belong to a directory. */
export type FoundProcess = {
  readonly pid: number;
  readonly command: string;
  readonly evidence: 'command' | 'environment' | 'mounts' | 'working directory';
};

/** Workers of the test runner hold the directory in their environment and end by themselves. */
const RUNNER = /vitest|\(vitest/;

/**
 * The processes that have to do with a directory: it stands in their command or environment, they
 * work in it, or it is mounted in their box (what runs in a box has a clean environment). The
 * process itself and the test runner's workers do not count.
 */
export function processesOf(directory: string): FoundProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((name) => inspect(Number(name), directory))
    .filter((found) => found !== undefined);
}

function inspect(pid: number, directory: string): FoundProcess | undefined {
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  // Without a command line it is a kernel thread or a zombie.
  if (command === '' || RUNNER.test(command)) return undefined;
  const found = (evidence: FoundProcess['evidence']) => ({ pid, command, evidence });
  if (command.includes(directory)) return found('command');
  if (read(`/proc/${pid}/environ`).includes(directory)) return found('environment');
  if (read(`/proc/${pid}/mountinfo`).includes(directory)) return found('mounts');
  if (link(`/proc/${pid}/cwd`).startsWith(directory)) return found('working directory');
  return undefined;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
