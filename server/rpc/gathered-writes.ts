import type { Writable } from 'node:stream';

/**
 * Lets what is written to a connection in one turn leave in one piece: a system call, and the waking of
 * a process on the other side, cost more than all else that is done for a key. The returned function is
 * called before each write.
 */
export function gatherWrites(connection: Writable): () => void {
  let isGathering = false;
  const send = () => {
    isGathering = false;
    connection.uncork();
  };
  return () => {
    if (isGathering) return;
    isGathering = true;
    connection.cork();
    process.nextTick(send);
  };
}
