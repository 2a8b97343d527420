import { isUtf8 } from 'node:buffer';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { ContentOmission } from './events.ts';

/** What was read of a file. `size` and `mtimeMs` are of the moment of reading. */
export type FileContent =
  | { readonly content: Uint8Array; readonly size: number; readonly mtimeMs: number }
  | { readonly omission: ContentOmission; readonly size?: number; readonly mtimeMs?: number };

/** A link is not followed, and a pipe that nobody writes to is not waited for. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The content of a file if it is text of at most `maxBytes`, otherwise why not. */
export async function readContent(path: string, maxBytes: number): Promise<FileContent> {
  try {
    await using file = await open(path, FLAGS);
    return await readFrom(file, maxBytes);
  } catch {
    return { omission: 'UNREADABLE' };
  }
}

async function readFrom(file: FileHandle, maxBytes: number): Promise<FileContent> {
  const stats = await file.stat();
  const { size, mtimeMs } = stats;
  if (!stats.isFile()) return { omission: 'UNREADABLE' };
  if (size > maxBytes) return { omission: 'TOO_LARGE', size, mtimeMs };
  // One byte more than there should be, to notice a file that grew.
  const buffer = Buffer.allocUnsafe(size + 1);
  let filled = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, filled);
    filled += bytesRead;
    if (bytesRead === 0 || filled === buffer.length) break;
  }
  const content = buffer.subarray(0, Math.min(filled, size));
  if (content.includes(0) || !isUtf8(content)) return { omission: 'BINARY', size, mtimeMs };
  return { content, size: content.length, mtimeMs };
}
