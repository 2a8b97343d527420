import { chown, lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { inParallel } from '../core/in-parallel.ts';

/** The folders of a box that its programs write to, without symlinks in their paths. */
export type BoxFolders = {
  /** What the API calls `/project`. */
  readonly project: string;
  readonly home: string;
};

/** Where the folders of a box are. The sandbox's directory is named without symlinks. */
export function boxFolders(directory: string): BoxFolders {
  return { project: join(directory, 'project'), home: join(directory, 'home') };
}

/** Makes the folders of a box, and gives them to its user. What exists is kept. */
export async function prepareFolders(folders: BoxFolders, uid: number | undefined): Promise<void> {
  await inParallel(
    Object.values(folders).map(async (path) => {
      await mkdir(path, { mode: 0o700 }).catch(ignoreExisting);
      const entry = await lstat(path);
      if (!entry.isDirectory()) throw new Error(`${path} is not a directory`);
      if (uid !== undefined && entry.uid !== uid) await chown(path, uid, uid);
    }),
  );
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
}
