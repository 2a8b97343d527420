import { afterAll } from 'vitest';

/** Resources that a suite must not leave open. Node.js lists only those that keep a process alive. */
const WATCHED: ReadonlySet<string> = new Set([
  'FSEventWrap',
  'HTTP2SESSION',
  'PipeServerWrap',
  'PipeWrap',
  'ProcessWrap',
  'TCPServerWrap',
  'TCPSocketWrap',
  'Timeout',
  'UDPWRAP',
  'Worker',
]);
/** Closing takes some turns of the loop; a resource that is still there after this is a leak. */
const GRACE_MS = 3_000;
const POLL_MS = 20;

const atStart = count();

// Registered first, so that it runs after every hook of the suite.
afterAll(async () => {
  const deadline = performance.now() + GRACE_MS;
  while (leaks().length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const left = leaks();
  if (left.length > 0) throw new Error(`the suite left open: ${left.join(', ')}`);
}, GRACE_MS * 2);

function leaks(): string[] {
  return [...count()]
    .map(([kind, number]) => ({ kind, extra: number - (atStart.get(kind) ?? 0) }))
    .filter(({ extra }) => extra > 0)
    .map(({ kind, extra }) => `${extra} ${kind}`);
}

function count(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (WATCHED.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}
