import { readFileSync } from 'node:fs';

/** How long the main thread of a process has used a processor so far, in microseconds. */
export function cpuMicroseconds(pid: number): number {
  const [nanoseconds] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ');
  return Number(nanoseconds) / 1_000;
}

/** The processes that a process has started and that are still there. */
export function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return children.split(' ').filter(Boolean).map(Number);
}
