import { lstatSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import ignore, { type Ignore } from 'ignore';

/** A larger `.gitignore` is taken for something else, and not read. */
const MAX_FILE_BYTES = 256 * 1024;

/** What the `.gitignore` files of a tree leave out, and `.git` itself. A deeper file overrules. */
export class GitIgnore {
  readonly #root: string;
  /** The rules of each directory that was asked for; undefined where it has none. */
  readonly #rules = new Map<string, Ignore | undefined>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Whether a path below the root is left out by itself. */
  matches(path: string, isDirectory: boolean): boolean {
    if (posix.basename(path) === '.git') return true;
    for (let directory = posix.dirname(path); ; directory = posix.dirname(directory)) {
      const inDirectory = directory === '.' ? path : path.slice(directory.length + 1);
      const result = this.#rulesOf(directory)?.test(isDirectory ? `${inDirectory}/` : inDirectory);
      if (result?.ignored) return true;
      if (result?.unignored || directory === '.') return false;
    }
  }

  /** Reads the files again when they are asked for. */
  forget(): void {
    this.#rules.clear();
  }

  #rulesOf(directory: string): Ignore | undefined {
    if (!this.#rules.has(directory)) this.#rules.set(directory, this.#read(directory));
    return this.#rules.get(directory);
  }

  #read(directory: string): Ignore | undefined {
    const file = join(this.#root, directory, '.gitignore');
    try {
      const found = lstatSync(file);
      if (!found.isFile() || found.size > MAX_FILE_BYTES) return undefined;
      return ignore({ allowRelativePaths: true }).add(readFileSync(file, 'utf8'));
    } catch {
      return undefined;
    }
  }
}
