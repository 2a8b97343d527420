import { parentPort } from 'node:worker_threads';
import { systemClock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { IgnoreMatcher } from './ignore-matcher.ts';
import { maxQueuedEvents, OverflowGuard } from './overflow-guard.ts';
import { TreeWatch } from './tree-watch.ts';
import type { WatchMessage, WatchRequest } from './watch-messages.ts';

// The thread that watches: its loop does nothing else, so the system's events are taken in time.

const port = parentPort;
if (!port) throw new Error('this is the program of a thread');
const trees = new Map<number, TreeWatch>();
const guard = new OverflowGuard({
  clock: systemClock,
  afterDrain: setImmediate,
  maxQueuedEvents: maxQueuedEvents(),
  // All trees share one queue of the system's.
  onSuspect: () => {
    for (const tree of trees.values()) tree.suspect();
  },
});

port.on('message', (request: WatchRequest) => {
  switch (request.type) {
    case 'open':
      void open(request);
      return;
    case 'close':
      close(request.tree);
      return;
    case 'difference': {
      const { tree, since, limit } = request;
      const difference = trees.get(tree)?.difference(since, limit);
      tell({ type: 'difference', request: request.request, difference });
      return;
    }
  }
});

function tell(message: WatchMessage): void {
  port?.postMessage(message);
}

async function open(request: Extract<WatchRequest, { type: 'open' }>): Promise<void> {
  const { tree: id, directory, apiPath, ignored, gitignore, maxEntries, maxDeletions } = request;
  const tree = new TreeWatch({
    ...{ directory, maxEntries, maxDeletions },
    matcher: new IgnoreMatcher({ ignored, gitignore }, { apiPath, directory }),
    clock: systemClock,
    onSystemEvent: () => guard.noteEvent(),
    emit: (from, events) => tell({ type: 'events', tree: id, from, events }),
    onFailed: () => {
      trees.delete(id);
      tell({ type: 'failed', tree: id });
    },
  });
  trees.set(id, tree);
  guard.start();
  try {
    await tree.open();
    tell({ type: 'opened', tree: id });
  } catch (error) {
    close(id);
    const isExpected = error instanceof DomainError;
    const reason = isExpected ? error.reason : 'INTERNAL';
    const message = isExpected ? error.message : 'the directory could not be watched';
    tell({ type: 'refused', tree: id, reason, message });
  }
}

function close(id: number): void {
  const tree = trees.get(id);
  trees.delete(id);
  if (trees.size === 0) guard.stop();
  tree?.close();
}
