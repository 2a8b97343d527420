import { closeSync, readdirSync, readFileSync } from 'node:fs';

/** Flag of a descriptor that programs do not inherit, as `/proc/<pid>/fdinfo` shows it (octal). */
const CLOSE_ON_EXEC = 0o2000000;

/**
 * Closes descriptors that whoever started this process left open: the standard ones and `keep`
 * excepted. Node.js opens its own so that programs do not inherit them, which is how they are told apart.
 */
export function closeInheritedDescriptors(keep: readonly number[]): void {
  for (const entry of readdirSync('/proc/self/fdinfo')) {
    const descriptor = Number(entry);
    if (descriptor <= 2 || keep.includes(descriptor)) continue;
    try {
      const flags = /^flags:\s*([0-7]+)$/m.exec(
        readFileSync(`/proc/self/fdinfo/${entry}`, 'latin1'),
      )?.[1];
      if (flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0)
        closeSync(descriptor);
    } catch {
      // It was the descriptor of the listing itself.
    }
  }
}
