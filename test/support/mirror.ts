import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Watcher, WatcherChange } from '../../client/index.ts';

/** Paths below a root: `directory`, `link`, or the content of a file. */
export type Listing = ReadonlyMap<string, string>;

/** A copy of a tree that is made from what a watcher tells, as a listener would make it. */
export class Mirror {
  changes = 0;
  gaps = 0;
  incompleteGaps = 0;
  readonly #root: string;
  readonly #entries = new Map<string, string>();

  /** The watcher includes content. It was created while the tree was empty. */
  constructor(watcher: Watcher) {
    this.#root = watcher.path;
    watcher.on('change', (change) => this.#apply(change));
    watcher.on('gap', ({ complete }) => {
      this.gaps += 1;
      if (!complete) this.incompleteGaps += 1;
    });
  }

  get entries(): Listing {
    return this.#entries;
  }

  #apply({ event, path, content, contentOmitted }: WatcherChange): void {
    this.changes += 1;
    const relative = path.slice(this.#root.length + 1);
    switch (event) {
      case 'addDir':
        this.#entries.set(relative, 'directory');
        return;
      case 'add':
      case 'change':
        this.#entries.set(relative, contentOmitted === 'unreadable' ? 'link' : (content ?? ''));
        return;
      case 'unlink':
        this.#entries.delete(relative);
        return;
      case 'unlinkDir':
        for (const entry of [...this.#entries.keys()])
          if (entry === relative || entry.startsWith(`${relative}/`)) this.#entries.delete(entry);
        return;
    }
  }
}

/** What a tree is. */
export function listTree(root: string): Listing {
  const entries = new Map<string, string>();
  const look = (below: string) => {
    for (const name of readdirSync(join(root, below))) {
      const path = below === '' ? name : `${below}/${name}`;
      const stats = lstatSync(join(root, path));
      if (stats.isDirectory()) {
        entries.set(path, 'directory');
        look(path);
      } else {
        entries.set(path, stats.isFile() ? readFileSync(join(root, path), 'utf8') : 'link');
      }
    }
  };
  look('');
  return entries;
}

/** What one listing has and the other has not, or has otherwise. */
export function differences(actual: Listing, expected: Listing): string[] {
  const all = new Set([...actual.keys(), ...expected.keys()]);
  return [...all]
    .filter((path) => actual.get(path) !== expected.get(path))
    .map((path) => `${path}: ${actual.get(path)} instead of ${expected.get(path)}`);
}
