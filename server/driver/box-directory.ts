import { chown, lstat, mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';

/** The folders of a box that its programs write to, without symlinks in their paths. */
export type BoxFolders = {
  /** What the API calls `/project`. */
  readonly project: string;
  readonly home: string;
};

/**
 * Makes `project/` and `home/` in a sandbox's directory, and gives them to the box's user.
 * What exists is kept; the directory itself must exist.
 */
export async function prepareFolders(
  directory: string,
  uid: number | undefined,
): Promise<BoxFolders> {
  const root = await realpath(directory);
  const folders = { project: join(root, 'project'), home: join(root, 'home') };
  for (const path of Object.values(folders)) {
    await mkdir(path, { mode: 0o700 }).catch(ignoreExisting);
    const entry = await lstat(path);
    if (!entry.isDirectory()) throw new Error(`${path} is not a directory`);
    if (uid !== undefined && entry.uid !== uid) await chown(path, uid, uid);
  }
  return folders;
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
}
