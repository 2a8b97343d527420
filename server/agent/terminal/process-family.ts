import type { Clock } from '../../core/clock.ts';
import { type ProcessEntry, ProcessTable } from './process-table.ts';

/** Environment variable that marks the processes of a terminal with its id. */
export const TERMINAL_ID_VARIABLE = 'COMPUTESDK_TERMINAL_ID';

/** Processes that belong together. */
export type ProcessFamily = {
  /** Leaders of sessions that still run. Their sessions and descendants belong to it. */
  readonly leaders: readonly number[];
  /** The beginning of the terminal id that marks a process, however it detached itself. */
  readonly mark: string;
};

/** How long processes may take to end by themselves. */
const TERM_MS = 2000;
/** How long after that killing goes on, against programs that fork as fast as they are killed. */
const KILL_MS = 3000;
const POLL_MS = 20;
/** An interactive shell ignores TERM and heeds HUP; a stopped process takes neither before CONT. */
const FIRST_SIGNALS = ['SIGHUP', 'SIGTERM', 'SIGCONT'] as const;

const processes = new ProcessTable(TERMINAL_ID_VARIABLE);

/** Ends every process of the family, TERM first, KILL after 2 seconds. Resolves with whether none is left. */
export async function endFamily(family: ProcessFamily, clock: Clock): Promise<boolean> {
  const started = clock.monotonic();
  const told = new Set<number>();
  for (;;) {
    const pids = membersOf(family, await processes.list());
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

/** Sends a signal to a process, or to a process group if negative. Returns whether somebody got it. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

function membersOf(family: ProcessFamily, entries: readonly ProcessEntry[]): number[] {
  const leaders = new Set(family.leaders);
  const isNamed = ({ pid, session, mark }: ProcessEntry) =>
    leaders.has(pid) || leaders.has(session) || mark.startsWith(family.mark);
  const members = new Set(entries.filter(isNamed).map(({ pid }) => pid));
  for (let size = -1; size !== members.size; ) {
    size = members.size;
    for (const { pid, parent } of entries) if (members.has(parent)) members.add(pid);
  }
  return entries.filter(({ pid, isDead }) => members.has(pid) && !isDead).map(({ pid }) => pid);
}
