import { readFileSync } from 'node:fs';

/** Sockets of a listening port for which the kernel holds bytes that it could not send yet, and how many. Linux only. */
export function unsentBytes(port: number): number[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const found: number[] = [];
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(file, 'utf8').split('\n').slice(1)) {
      const [, local, , , queues] = line.trim().split(/\s+/);
      if (!local?.endsWith(suffix)) continue;
      const unsent = Number.parseInt(queues?.split(':')[0] ?? '0', 16);
      if (unsent > 0) found.push(unsent);
    }
  }
  return found;
}
