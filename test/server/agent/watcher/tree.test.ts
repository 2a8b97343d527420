import { describe, expect, it } from 'vitest';
import type { TreeChange } from '../../../../server/agent/watcher/events.ts';
import { type EntryState, WatchedTree } from '../../../../server/agent/watcher/tree.ts';

let inode = 0;
const file = (size = 1): EntryState => ({
  ...{ isDirectory: false, size, mtimeMs: 1, bornMs: 1 },
  inode: ++inode,
});
const directory = (): EntryState => ({ ...file(0), isDirectory: true });

function newTree(maxDeletions = 100) {
  const told: TreeChange[] = [];
  const tree = new WatchedTree({ maxDeletions, emit: (change) => told.push(change) - 1 });
  const lines = () => told.splice(0).map(({ kind, path }) => `${kind} ${path}`);
  /** What a reader is told that comes from `since`, given that `end` events were told. */
  const since = (number: number, limit = 100) => {
    const { changes, ...rest } = tree.difference(number, told.length, limit);
    return { lines: changes.map(({ kind, path }) => `${kind} ${path}`), ...rest };
  };
  tree.put('', directory());
  return { tree, told, lines, since };
}

describe('a tree', () => {
  it('tells the difference between what a path was and what it is', () => {
    const { tree, lines } = newTree();
    const same = file();
    tree.put('found', same);
    tree.start();
    tree.put('found', same);
    expect(lines()).toEqual([]);
    tree.put('found', { ...same, size: 2 });
    tree.put('found', file(2));
    tree.put('new', file());
    tree.put('gone', undefined);
    tree.put('new', undefined);
    expect(lines()).toEqual(['change found', 'change found', 'add new', 'unlink new']);
  });

  it('tells what was in a directory before the directory is gone, and files that became directories', () => {
    const { tree, lines } = newTree();
    tree.start();
    tree.put('a', directory());
    tree.put('a/b', directory());
    tree.put('a/b/c', file());
    lines();
    tree.put('a', file());
    expect(lines()).toEqual(['unlink a/b/c', 'unlinkDir a/b', 'unlinkDir a', 'add a']);
    tree.put('a', directory());
    expect(lines()).toEqual(['unlink a', 'addDir a']);
  });

  it('tells a change that left no trace when the system says that there was one', () => {
    const { tree, lines } = newTree();
    tree.start();
    const state = file();
    tree.put('a', state);
    tree.put('a', state, { isChanged: true });
    expect(lines()).toEqual(['add a', 'change a']);
  });
});

describe('a difference', () => {
  it('is the last change of each path, in order', () => {
    const { tree, since } = newTree();
    tree.start();
    tree.put('a', file());
    tree.put('b', file());
    tree.put('a', file(2));
    tree.put('b', undefined);
    tree.put('c', file());
    expect(since(0)).toEqual({ lines: ['add a', 'add c'], next: 5, isIncomplete: false });
    expect(since(2)).toEqual({
      ...{ lines: ['change a', 'unlink b', 'add c'], next: 5, isIncomplete: false },
    });
    expect(since(5).lines).toEqual([]);
  });

  it('comes in pages', () => {
    const { tree, since } = newTree();
    tree.start();
    for (const path of ['a', 'b', 'c']) tree.put(path, file());
    expect(since(0, 2)).toMatchObject({ lines: ['add a', 'add b'], next: 2 });
    expect(since(2, 2)).toMatchObject({ lines: ['add c'], next: 3 });
  });

  it('has the deletion of what came back and went again', () => {
    const { tree, since } = newTree();
    tree.start();
    tree.put('a', file());
    tree.put('a', undefined);
    tree.put('a', file());
    tree.put('a', undefined);
    expect(since(1).lines).toEqual(['unlink a']);
    expect(since(0).lines).toEqual([]);
  });

  it('says that deletions may be missing once some were forgotten', () => {
    const { tree, since } = newTree(2);
    tree.start();
    for (const path of ['a', 'b', 'c']) tree.put(path, file());
    for (const path of ['a', 'b', 'c']) tree.put(path, undefined);
    expect(since(3)).toMatchObject({ lines: ['unlink b', 'unlink c'], isIncomplete: true });
    expect(since(4)).toMatchObject({ lines: ['unlink b', 'unlink c'], isIncomplete: false });
  });
});
