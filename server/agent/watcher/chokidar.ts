import { basename, join } from 'node:path';
import { watch } from 'chokidar';
import type { OpenFileSource } from './file-source.ts';

/** Watches a tree with chokidar: one inotify watch a directory. Symbolic links are not followed. */
export const openChokidar: OpenFileSource = ({ directory, isIgnored, sink }) => {
  const prefix = directory === '/' ? '/' : `${directory}/`;
  /** Undefined for what is not in the tree. */
  const inTree = (path: string) => {
    if (path === directory) return '';
    return path.startsWith(prefix) ? path.slice(prefix.length) : undefined;
  };
  let isScanning = true;
  const watcher = watch(directory, {
    followSymlinks: false,
    ignorePermissionErrors: true,
    // A state that holds for a moment only is told apart by the tree, for every kind of change.
    atomic: false,
    ignored: (path, stats) => {
      const relative = inTree(path);
      return relative !== undefined && isIgnored(relative, stats?.isDirectory());
    },
  });
  const hint = (path: string, isWrite: boolean) => {
    const relative = inTree(path);
    if (relative !== undefined) sink.onHint(relative, isWrite);
  };
  watcher.on('raw', (event, name, details) => {
    sink.onEvent();
    // What chokidar passes with every event of fs.watch; its types leave it open.
    const { watchedPath } = details as { readonly watchedPath: string };
    // A directory tells of itself by its own name, which a child may have too.
    if (!name || name === basename(watchedPath)) hint(watchedPath, event === 'change');
    if (name) hint(join(watchedPath, name), event === 'change');
  });
  watcher.on('all', (_event, path, stats) => {
    const relative = inTree(path);
    if (relative === undefined) return;
    if (isScanning) sink.onFound(relative, stats);
    else sink.onHint(relative, false);
  });
  watcher.on('error', (error) => sink.onError(error as NodeJS.ErrnoException));
  const ready = new Promise<void>((resolve) => {
    watcher.on('ready', () => {
      isScanning = false;
      resolve();
    });
  });
  return { ready, close: () => watcher.close() };
};
