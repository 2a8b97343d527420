import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditEvent, AuditTrail } from '../../core/audit.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import { AuditSampler } from './audit-sampler.ts';

/** The file in the data directory. Older ones have `.1` (the newest of them) to `.7` behind their name. */
export const AUDIT_FILE = 'audit.jsonl';
/** The size from which on a file is put aside, in bytes. */
export const MAX_AUDIT_FILE_BYTES = 64 * 1024 * 1024;
/** Files kept, the one being written included. The oldest is deleted. */
export const MAX_AUDIT_FILES = 8;
/** Lines that wait to be written. Above it events are dropped, and a line says how many: a full disk must not stop the service. */
export const MAX_QUEUED_AUDIT_LINES = 10_000;
/** How long written lines may wait for the disk itself, in milliseconds. */
const SYNC_MS = 1_000;
/** The longest text of an event, in characters. Ids and addresses are far shorter; origins come from clients. */
const MAX_TEXT_CHARS = 512;

export type AuditLogOptions = {
  /** The data directory. */
  readonly directory: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: {@link MAX_AUDIT_FILE_BYTES}. */
  readonly maxFileBytes?: number;
};

/**
 * Appends events to `audit.jsonl`, one JSON object a line, in the order in which they were recorded.
 * JSON escapes control characters, so no value can forge a line. Lines are written at once and
 * synced to the disk within {@link SYNC_MS}: a killed process loses what was queued, milliseconds; a
 * power cut the last second.
 */
export class AuditLog implements AuditTrail {
  readonly #options: AuditLogOptions;
  readonly #path: string;
  readonly #sampler: AuditSampler;
  #file: FileHandle;
  /** Bytes of the file being written; only grows until the file is put aside. */
  #fileBytes: number;
  #queue: string[] = [];
  /** Events that found the queue full, or whose write failed, since the last line that said so. */
  #dropped = 0;
  /** Whether the file may end inside of a line, because a write failed. */
  #isTorn: boolean;
  /** The loop that empties the queue, while there is one. */
  #writing: Promise<void> | undefined;
  #syncTimer: Timer | undefined;
  #isClosed = false;

  private constructor(
    options: AuditLogOptions,
    file: FileHandle,
    found: { readonly bytes: number; readonly isTorn: boolean },
  ) {
    this.#options = options;
    this.#path = join(options.directory, AUDIT_FILE);
    this.#sampler = new AuditSampler(options.clock);
    this.#file = file;
    this.#fileBytes = found.bytes;
    this.#isTorn = found.isTorn;
  }

  /** Opens the log, or begins one. Readable by its owner only. */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const file = await openForAppend(join(options.directory, AUDIT_FILE));
    await file.chmod(0o600);
    const { size } = await file.stat();
    // A process that was killed may have left half a line.
    const isTorn = size > 0 && !(await endsWithNewline(file, size));
    return new AuditLog(options, file, { bytes: size, isTorn });
  }

  record(event: AuditEvent): void {
    if (this.#isClosed || !this.#sampler.admits(event)) return;
    if (this.#queue.length >= MAX_QUEUED_AUDIT_LINES) {
      this.#dropped += 1;
      return;
    }
    this.#queue.push(this.#line(event));
    this.#writing ??= this.#drain();
  }

  /** Resolves when everything that was recorded is on the disk. */
  async flush(): Promise<void> {
    await this.#writing;
    await this.#sync();
  }

  /** Writes what is left and lets go of the file. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.flush();
    await this.#file.close();
  }

  /** Writes what is queued, and what is queued meanwhile, in one piece each. Never rejects. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const lines = this.#queue;
      const dropped = this.#dropped;
      this.#queue = [];
      const notice = { event: 'audit.dropped', actor: 'system', count: dropped } as const;
      const text = lines.join('') + (dropped > 0 ? this.#line(notice) : '');
      try {
        if (this.#fileBytes >= (this.#options.maxFileBytes ?? MAX_AUDIT_FILE_BYTES)) {
          await this.#rotate();
        }
        await this.#write(this.#isTorn ? `\n${text}` : text);
        this.#isTorn = false;
        this.#dropped -= dropped;
      } catch (error) {
        this.#isTorn = true;
        this.#dropped += lines.length;
        this.#options.logger.error('cannot write the audit log', { dropped: lines.length, error });
      }
    }
    this.#writing = undefined;
  }

  async #write(text: string): Promise<void> {
    await this.#file.appendFile(text);
    this.#fileBytes += Buffer.byteLength(text);
    this.#syncTimer ??= this.#options.clock.setTimer(() => void this.#sync(), SYNC_MS);
  }

  async #sync(): Promise<void> {
    this.#syncTimer?.clear();
    this.#syncTimer = undefined;
    try {
      await this.#file.datasync();
    } catch (error) {
      this.#options.logger.error('cannot sync the audit log', { error });
    }
  }

  /** Puts the file aside and begins a new one. */
  async #rotate(): Promise<void> {
    await this.#sync();
    await rm(`${this.#path}.${MAX_AUDIT_FILES - 1}`, { force: true });
    for (let age = MAX_AUDIT_FILES - 2; age >= 1; age -= 1) {
      await renameIfThere(`${this.#path}.${age}`, `${this.#path}.${age + 1}`);
    }
    await renameIfThere(this.#path, `${this.#path}.1`);
    const next = await openForAppend(this.#path);
    const last = this.#file;
    this.#file = next;
    this.#fileBytes = 0;
    await last.close();
  }

  #line(event: AuditEvent | { event: 'audit.dropped'; actor: 'system'; count: number }): string {
    const time = new Date(this.#options.clock.now()).toISOString();
    return `${JSON.stringify({ time, ...event }, shortened)}\n`;
  }
}

function openForAppend(path: string): Promise<FileHandle> {
  // Not only appended to: the end of what is there is looked at.
  return open(path, 'a+', 0o600);
}

async function endsWithNewline(file: FileHandle, size: number): Promise<boolean> {
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0] === 0x0a;
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}

function shortened(_key: string, value: unknown): unknown {
  if (typeof value !== 'string' || value.length <= MAX_TEXT_CHARS) return value;
  return `${value.slice(0, MAX_TEXT_CHARS)}…`;
}
