import { posix } from 'node:path';
import picomatch from 'picomatch';
import { GitIgnore } from './git-ignore.ts';
import { nameOf } from './tree.ts';

/** What a watcher leaves out. */
export type IgnoreRules = {
  /** Names, globs and paths, checked by `checkIgnored`. */
  readonly ignored: readonly string[];
  /** Whether `.gitignore` files in the tree count. */
  readonly gitignore: boolean;
};

/** The tree that rules are for. */
export type IgnoreRoot = {
  /** As the API spells it: what absolute patterns are compared with. */
  readonly apiPath: string;
  /** In the file system of the agent. */
  readonly directory: string;
};

/** `isDirectory` is undefined where that is not known. */
type Test = (path: string, isDirectory: boolean | undefined) => boolean;

/** Characters that make a pattern a glob. */
const GLOB = /[*?[\]{}()!+@]/;
/** File systems whose files are made up by the kernel: below `/` they are always left out. */
export const PSEUDO_DIRECTORIES: readonly string[] = ['/proc', '/sys', '/dev'];

/** The one place that knows what a watcher leaves out: names, globs, paths and `.gitignore`. */
export class IgnoreMatcher {
  readonly #tests: readonly Test[];
  readonly #gitIgnore: GitIgnore | undefined;

  constructor(rules: IgnoreRules, root: IgnoreRoot) {
    const pseudo = PSEUDO_DIRECTORIES.map((directory) => isAt(below(root.directory, directory)));
    this.#tests = [...pseudo, ...rules.ignored.map((pattern) => toTest(pattern, root.apiPath))];
    this.#gitIgnore = rules.gitignore ? new GitIgnore(root.directory) : undefined;
  }

  /**
   * Whether a path is left out by itself. That one of its directories is, its caller knows: nothing
   * below such a directory is ever looked at. The path is below the root; the root is never left out.
   */
  matches(path: string, isDirectory: boolean | undefined): boolean {
    if (path === '') return false;
    if (this.#tests.some((test) => test(path, isDirectory))) return true;
    // Whether it is a directory can make all the difference there.
    if (isDirectory === undefined || !this.#gitIgnore) return false;
    return this.#gitIgnore.matches(path, isDirectory);
  }

  /** Whether what is left out depends on the content of this file. */
  isRuleFile(path: string): boolean {
    return this.#gitIgnore !== undefined && nameOf(path) === '.gitignore';
  }

  /** Takes notice that a rule file has changed. */
  forgetRuleFiles(): void {
    this.#gitIgnore?.forget();
  }
}

function toTest(pattern: string, apiPath: string): Test {
  if (!pattern.endsWith('/')) return toPathTest(pattern, apiPath);
  const test = toPathTest(pattern.replace(/\/+$/, ''), apiPath);
  return (path, isDirectory) => isDirectory === true && test(path, isDirectory);
}

function toPathTest(pattern: string, apiPath: string): Test {
  if (!pattern.includes('/')) {
    if (!GLOB.test(pattern)) return (path) => nameOf(path) === pattern;
    const matchesName = compile(pattern);
    return (path) => matchesName(nameOf(path));
  }
  const relative = pattern.startsWith('/')
    ? below(apiPath, posix.normalize(pattern))
    : posix.normalize(pattern);
  if (relative === undefined || !GLOB.test(relative)) return isAt(relative);
  const matchesPath = compile(relative);
  return (path) => matchesPath(path);
}

/** Without extended globs: their alternatives can take exponential time. */
function compile(glob: string): (text: string) => boolean {
  return picomatch(glob, { dot: true, noextglob: true, nonegate: true });
}

function isAt(wanted: string | undefined): Test {
  return (path) => path === wanted;
}

/** What is left of `path` below `root`. Undefined for what lies elsewhere. */
function below(root: string, path: string): string | undefined {
  const prefix = root.endsWith('/') ? root : `${root}/`;
  return path.startsWith(prefix) ? path.slice(prefix.length) : undefined;
}
