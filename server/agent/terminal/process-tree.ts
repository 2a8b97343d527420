import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import type { Clock } from '../../core/clock.ts';

/** Which processes belong together. */
export type ProcessGroupTarget = {
  /** Leaders of sessions that still run. Their sessions and descendants belong to it. */
  readonly leaders: readonly number[];
  /** The beginning of an environment entry that marks a process, however it detached itself. */
  readonly environment: string;
};

/** How long processes may take to end by themselves. */
const TERM_MS = 2000;
/** How long after that killing goes on, against programs that fork as fast as they are killed. */
const KILL_MS = 3000;
const POLL_MS = 40;
/** An interactive shell ignores TERM and heeds HUP; a stopped process takes neither before CONT. */
const FIRST_SIGNALS = ['SIGHUP', 'SIGTERM', 'SIGCONT'] as const;

type ProcessStat = {
  readonly pid: number;
  readonly state: string;
  readonly parent: number;
  readonly session: number;
};

/** Ends every process of the target, TERM first, KILL after 2 seconds. Resolves with whether none is left. */
export async function endProcesses(target: ProcessGroupTarget, clock: Clock): Promise<boolean> {
  const started = clock.monotonic();
  const told = new Set<number>();
  for (;;) {
    const pids = await findProcesses(target);
    if (pids.length === 0) return true;
    const elapsed = clock.monotonic() - started;
    if (elapsed >= TERM_MS + KILL_MS) return false;
    for (const pid of pids) {
      if (elapsed >= TERM_MS) sendSignal(pid, 'SIGKILL');
      else if (!told.has(pid)) for (const signal of FIRST_SIGNALS) sendSignal(pid, signal);
      told.add(pid);
    }
    await new Promise<void>((resolve) => clock.setTimer(resolve, POLL_MS));
  }
}

/** Process ids of the target, this process and the dead excepted. */
export async function findProcesses(target: ProcessGroupTarget): Promise<number[]> {
  const entries = await readdir('/proc');
  const stats: ProcessStat[] = [];
  for (const entry of entries) {
    const stat = /^\d+$/.test(entry) ? await statOf(Number(entry)) : undefined;
    if (stat && stat.pid !== process.pid) stats.push(stat);
  }
  const found = new Set<number>();
  for (const stat of stats) {
    const led = target.leaders.includes(stat.pid) || target.leaders.includes(stat.session);
    if (led || (await hasEnvironment(stat.pid, target.environment))) found.add(stat.pid);
  }
  for (let size = -1; size !== found.size; ) {
    size = found.size;
    for (const stat of stats) if (found.has(stat.parent)) found.add(stat.pid);
  }
  return stats
    .filter((stat) => found.has(stat.pid) && stat.state !== 'Z' && stat.state !== 'X')
    .map((stat) => stat.pid);
}

/** Sends a signal to a process, or to a process group if negative. Returns whether somebody got it. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** The process group that the terminal of a session's leader talks to; the leader's own if none. */
export function foregroundGroup(leader: number): number {
  try {
    const fields = fieldsOf(readFileSync(`/proc/${leader}/stat`, 'latin1'));
    const group = Number(fields[5]);
    return group > 0 ? group : leader;
  } catch {
    return leader;
  }
}

async function statOf(pid: number): Promise<ProcessStat | undefined> {
  try {
    const fields = fieldsOf(await readFile(`/proc/${pid}/stat`, 'latin1'));
    return { pid, state: fields[0] ?? '', parent: Number(fields[1]), session: Number(fields[3]) };
  } catch {
    return undefined;
  }
}

async function hasEnvironment(pid: number, beginning: string): Promise<boolean> {
  try {
    const environment = await readFile(`/proc/${pid}/environ`, 'latin1');
    return environment.startsWith(beginning) || environment.includes(`\0${beginning}`);
  } catch {
    return false;
  }
}

/** The fields after the program's name, which may hold anything: state, parent, group, session, tty, foreground group … */
function fieldsOf(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
