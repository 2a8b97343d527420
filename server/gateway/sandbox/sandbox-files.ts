import { chmod, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../../core/domain-error.ts';
import { isId } from '../../core/id.ts';

/** The directories of sandboxes on the host. */
export class SandboxFiles {
  readonly #root: string;

  /** `root` holds one directory per sandbox. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Where the files of a sandbox are. */
  directory(sandboxId: string): string {
    // Deletion is recursive: no other text may ever become a path here.
    if (!isId('sbx', sandboxId)) throw new DomainError('INTERNAL', 'not the id of a sandbox');
    return join(this.#root, sandboxId);
  }

  /** Makes the sandbox's directory, for the gateway's user only. What exists is kept. */
  async prepare(sandboxId: string): Promise<void> {
    await mkdir(this.directory(sandboxId), { recursive: true, mode: 0o700 });
  }

  /** Deletes the sandbox's directory. Its processes must have ended. Does nothing if there is none. */
  async delete(sandboxId: string): Promise<void> {
    const directory = this.directory(sandboxId);
    try {
      await rm(directory, { recursive: true, force: true });
    } catch {
      // A program in the box took permissions away; whoever runs as its owner must take them back first.
      await openUp(directory);
      await rm(directory, { recursive: true, force: true });
    }
  }
}

/** Makes every directory below `directory` writable. Symlinks are not followed. */
async function openUp(directory: string): Promise<void> {
  const open = [directory];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (!(await lstat(path)).isDirectory()) continue;
    await chmod(path, 0o700);
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (entry.isDirectory()) open.push(join(path, entry.name));
    }
  }
}
