import { readdir, readFile } from 'node:fs/promises';

/** One process, told apart from a later one that got the same pid. */
export type ProcessIdentity = {
  readonly pid: number;
  /** Clock ticks between the machine's boot and the start of the process. */
  readonly startTicks: string;
};

/** A process as the kernel lists it. */
export type ProcessEntry = ProcessIdentity & {
  readonly parent: number;
  readonly session: number;
  /** Ended, and only waiting for its parent to notice. */
  readonly isDead: boolean;
};

/** How many processes are read at a time: enough to be quick, few enough to leave the thread pool free. */
const READ_BATCH = 32;

/** The processes that this process can see. */
export async function listProcesses(): Promise<ProcessEntry[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const entries = await inBatches(names, (name) => findProcess(Number(name)));
  return entries.filter((entry) => entry !== undefined);
}

/** The process that has this pid now, or undefined. */
export async function findProcess(pid: number): Promise<ProcessEntry | undefined> {
  const stat = await readText(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The name in parentheses may hold anything, parentheses too; the fields follow the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, parent, , session] = fields;
  const startTicks = fields[19];
  if (startTicks === undefined) return undefined;
  return {
    pid,
    startTicks,
    parent: Number(parent),
    session: Number(session),
    isDead: state === 'Z' || state === 'X',
  };
}

/** Whether the process still runs. */
export async function isRunning(identity: ProcessIdentity): Promise<boolean> {
  const entry = await findProcess(identity.pid);
  return entry !== undefined && !entry.isDead && entry.startTicks === identity.startTicks;
}

/** The processes among `entries` that were started with `variable` (`NAME=value`) in their environment. */
export async function withVariable(
  entries: readonly ProcessEntry[],
  variable: string,
): Promise<ProcessEntry[]> {
  return filterBy(entries, async ({ pid }) => {
    const environment = await readText(`/proc/${pid}/environ`);
    return environment?.split('\0').includes(variable) ?? false;
  });
}

/** The processes among `entries` whose real, effective or saved user is `uid`. */
export async function ofUser(
  entries: readonly ProcessEntry[],
  uid: number,
): Promise<ProcessEntry[]> {
  return filterBy(entries, async ({ pid }) => {
    const status = await readText(`/proc/${pid}/status`);
    const line = status?.match(/^Uid:\s+(.*)$/m)?.[1];
    return line?.split(/\s+/).includes(String(uid)) ?? false;
  });
}

/** A text that is new at every boot of the machine. */
export async function machineBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

async function filterBy(
  entries: readonly ProcessEntry[],
  matches: (entry: ProcessEntry) => Promise<boolean>,
): Promise<ProcessEntry[]> {
  const verdicts = await inBatches(entries, matches);
  return entries.filter((_, index) => verdicts[index]);
}

async function inBatches<T, R>(items: readonly T[], task: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += READ_BATCH) {
    results.push(...(await Promise.all(items.slice(start, start + READ_BATCH).map(task))));
  }
  return results;
}

/** The file's text, or undefined: processes end while they are read, and some are not ours to read. */
async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1');
  } catch {
    return undefined;
  }
}
