import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** How many inotify watches a process has. */
export function inotifyWatchesOf(pid: number): number {
  const folder = `/proc/${pid}/fdinfo`;
  const texts = readdirSync(folder).map((name) => {
    try {
      return readFileSync(join(folder, name), 'latin1');
    } catch {
      return '';
    }
  });
  return texts
    .join('\n')
    .split('\n')
    .filter((line) => line.startsWith('inotify wd:')).length;
}
