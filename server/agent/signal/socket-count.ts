import { openSync, readSync } from 'node:fs';

const FILES = ['/proc/net/sockstat', '/proc/net/sockstat6'] as const;
const IN_USE = /^TCP6?: inuse \d+/m;
const FILE_BYTES = 1024;

/**
 * Tells how many TCP sockets there are, as a text to compare with the last one: the kernel keeps the
 * number, so that it costs a hundredth of the list. Undefined where the kernel does not say.
 *
 * The files stay open for as long as the process lives: opening them costs more than reading.
 */
export function socketCounter(): () => string | undefined {
  const descriptors = FILES.map(openFile);
  const buffer = Buffer.alloc(FILE_BYTES);
  return () => {
    let counts = '';
    for (const descriptor of descriptors) {
      const count = descriptor === undefined ? undefined : readCount(descriptor, buffer);
      if (count === undefined) return undefined;
      counts += count;
    }
    return counts;
  };
}

function openFile(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch {
    return undefined;
  }
}

function readCount(descriptor: number, buffer: Buffer): string | undefined {
  try {
    const length = readSync(descriptor, buffer, 0, buffer.length, 0);
    return IN_USE.exec(buffer.toString('latin1', 0, length))?.[0];
  } catch {
    return undefined;
  }
}
