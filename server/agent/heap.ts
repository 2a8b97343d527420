import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Options of V8 for an agent that has started. With one of these on its command line Node.js compiles its
 * own modules anew, which takes a fifth of its start and more. Measured with 50 viewers over HTTP, which
 * make an agent grow by 9 to 13 MB with all of them; with some, by 12 to 18 and at times 28.
 *
 * - The heap is collected when it has grown by a fifth, in steps of 2 MB instead of 8, and at once: while
 *   marking goes on step by step, megabytes of new garbage come. Terminals keep their output outside of it.
 * - Compilers go function by function: with inlining they take up to 14 MB at a time. What it would save of a
 *   key, a twentieth of the agent's processor time, is less than what differs from one run to the next.
 * - What is young is collected by one thread: several take pages of their own, and have to be woken.
 */
const OPTIONS: readonly string[] = [
  ...['--optimize-for-size', '--heap-growing-percent=20', '--no-incremental-marking'],
  ...['--no-turbo-inlining', '--no-maglev-inlining'],
  '--no-parallel-scavenge',
];

/** Keeps the heap of a process that has started small from now on. */
export function keepHeapSmall(): void {
  for (const option of OPTIONS) setFlagsFromString(option);
  // The first collection sets the bound for the next. By itself it would come tens of megabytes later.
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
}
