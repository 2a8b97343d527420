import { readdir, stat } from 'node:fs/promises';

/** How many processes are looked at at a time: enough to be quick, few enough to leave the thread pool free. */
const LOOK_BATCH = 32;

/** The uids of the processes that run on this machine, as far as this process sees them. None where there is no /proc. */
export async function busyUids(): Promise<ReadonlySet<number>> {
  const names = await readdir('/proc').catch(() => []);
  const pids = names.filter((name) => /^\d+$/.test(name));
  const uids = new Set<number>();
  for (let start = 0; start < pids.length; start += LOOK_BATCH) {
    const batch = pids.slice(start, start + LOOK_BATCH);
    // A process that ended meanwhile keeps no uid busy.
    const found = await Promise.all(
      batch.map((pid) => stat(`/proc/${pid}`).catch(() => undefined)),
    );
    for (const entry of found) if (entry) uids.add(entry.uid);
  }
  return uids;
}
