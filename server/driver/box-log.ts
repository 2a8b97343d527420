import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';

/** A log of a box grows to this many bytes before it is emptied. */
const MAX_LOG_BYTES = 1024 * 1024;
/** How much of its end is reported. */
const TAIL_BYTES = 4096;

/** What a box logs to files: the agent's standard error, and that of its network's helper. */
export type BoxLogName = 'agent.log' | 'network.log';

/**
 * Opens an empty log for a child to append to. It is a file and not a pipe because the writer
 * outlives the gateway.
 */
export async function openLog(directory: string, name: BoxLogName): Promise<FileHandle> {
  const path = join(directory, name);
  await (await open(path, 'w', 0o600)).close();
  return open(path, 'a', 0o600);
}

/** The last 4 KiB of a log as text; empty when there is none. */
export async function readTail(directory: string, name: BoxLogName): Promise<string> {
  const text = await withLog(directory, name, async (file) => {
    const { size } = await file.stat();
    const length = Math.min(size, TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString('utf8', 0, bytesRead).trim();
  });
  return text ?? '';
}

/** Empties a log that has outgrown its bound. Its writer appends, so it goes on at the start. */
export async function trimLog(directory: string, name: BoxLogName): Promise<void> {
  await withLog(directory, name, async (file) => {
    const { size } = await file.stat();
    if (size > MAX_LOG_BYTES) await file.truncate(0);
  });
}

async function withLog<T>(
  directory: string,
  name: BoxLogName,
  task: (file: FileHandle) => Promise<T>,
): Promise<T | undefined> {
  try {
    const file = await open(join(directory, name), 'r+');
    try {
      return await task(file);
    } finally {
      await file.close();
    }
  } catch {
    return undefined; // A log is a help, never a reason to fail.
  }
}
