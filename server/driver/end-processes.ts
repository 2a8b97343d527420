import { setTimeout as delay } from 'node:timers/promises';
import { DomainError } from '../core/domain-error.ts';
import {
  isRunning,
  listProcesses,
  ofUser,
  type ProcessEntry,
  type ProcessIdentity,
  withVariable,
} from './process-table.ts';

/** The processes to end: those named, those that carry the marks, and everything that these started. */
export type EndTarget = {
  readonly processes: readonly ProcessIdentity[];
  /** `NAME=value` in the environment that a process was started with. */
  readonly marker?: string;
  /** Every process of this host user. */
  readonly uid?: number;
};

/** How long a killed process may take to vanish (it may be writing to a slow disk), in milliseconds. */
const END_DEADLINE_MS = 10_000;
const POLL_MS = 5;
/** A family that grows is stopped again this often before it is killed; then the next round goes on. */
const MAX_STOP_ROUNDS = 8;

/** How long the others may take to follow the first, in milliseconds, before they are killed too. */
const FOLLOW_MS = 1_000;

/**
 * Kills the first process and gives the others, which end when it does, a moment to do so: a parent
 * that is left alone collects its child, a killed one leaves a zombie to whoever comes after.
 */
export async function endByFirst(processes: readonly ProcessIdentity[]): Promise<void> {
  const [first] = processes;
  if (first === undefined || !(await isRunning(first))) return;
  send(first, 'SIGKILL');
  await untilGone(processes, performance.now() + FOLLOW_MS);
}

/**
 * Kills processes and waits until none is left. They are stopped first, so that none can start
 * another while the list is made. Never touches this process or pid 1.
 */
export async function endProcesses(target: EndTarget): Promise<void> {
  const deadline = performance.now() + END_DEADLINE_MS;
  for (;;) {
    const doomed = await stopFamily(target);
    if (doomed.length === 0) return;
    for (const process of doomed) send(process, 'SIGKILL');
    const left = await untilGone(doomed, deadline);
    if (left.length > 0) {
      const pids = left.map(({ pid }) => pid).join(', ');
      throw new DomainError('INTERNAL', `processes ${pids} of a box did not end after SIGKILL`);
    }
  }
}

async function stopFamily(target: EndTarget): Promise<ProcessIdentity[]> {
  const doomed = new Map<number, ProcessEntry>();
  for (let round = 0; round < MAX_STOP_ROUNDS; round += 1) {
    const found = await findFamily(target, doomed);
    if (found.length === 0) break;
    for (const entry of found) {
      send(entry, 'SIGSTOP');
      doomed.set(entry.pid, entry);
    }
  }
  return [...doomed.values()];
}

/** Processes of the family that are not yet in `known`. */
async function findFamily(
  target: EndTarget,
  known: ReadonlyMap<number, ProcessEntry>,
): Promise<ProcessEntry[]> {
  const table = (await listProcesses()).filter(isFairGame);
  const family = new Map(known);
  const add = (entries: readonly ProcessEntry[]) => {
    for (const entry of entries) family.set(entry.pid, entry);
  };
  add(table.filter((entry) => target.processes.some((named) => isSame(named, entry))));
  if (target.marker !== undefined) add(await withVariable(table, target.marker));
  if (target.uid !== undefined) add(await ofUser(table, target.uid));
  for (let size = -1; size !== family.size; ) {
    size = family.size;
    add(table.filter(({ parent, session }) => family.has(parent) || family.has(session)));
  }
  return [...family.values()].filter(({ pid }) => !known.has(pid));
}

/** Waits until the processes have ended, or the deadline. Gives those that still run then. */
async function untilGone(
  processes: readonly ProcessIdentity[],
  deadline: number,
): Promise<readonly ProcessIdentity[]> {
  let left = processes;
  for (;;) {
    const running = await Promise.all(left.map(isRunning));
    left = left.filter((_, index) => running[index]);
    if (left.length === 0 || performance.now() > deadline) return left;
    await delay(POLL_MS);
  }
}

function isFairGame(entry: ProcessEntry): boolean {
  return !entry.isDead && entry.pid !== 1 && entry.pid !== process.pid;
}

function isSame(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startTicks === b.startTicks;
}

function send({ pid }: ProcessIdentity, signal: 'SIGSTOP' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself, or is not ours; what is left over shows when the table is read again.
  }
}
