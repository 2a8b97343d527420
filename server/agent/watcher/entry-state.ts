import { lstatSync } from 'node:fs';
import type { EntryState } from './tree.ts';

/** The state of a path in the file system. Undefined for what is not there or cannot be reached. */
export function readState(path: string): EntryState | undefined {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (!stats) return undefined;
    const { size, mtimeMs, ino, birthtimeMs } = stats;
    return { isDirectory: stats.isDirectory(), size, mtimeMs, inode: ino, bornMs: birthtimeMs };
  } catch {
    return undefined;
  }
}
