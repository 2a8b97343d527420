import type { GapReason } from './connection/resumable-stream.ts';
import type { SandboxError } from './errors.ts';

/** What happened to a file or directory. A symbolic link counts as a file. */
export type WatcherChangeKind = 'add' | 'addDir' | 'change' | 'unlink' | 'unlinkDir';

/**
 * Why a change carries no content although the watcher includes it.
 *
 * - `too_large`: larger than the watcher's `maxContentBytes`.
 * - `binary`: not UTF-8 text.
 * - `unreadable`: gone again, not readable, or no regular file.
 */
export type ContentOmission = 'binary' | 'too_large' | 'unreadable';

/** A change of a file or directory. */
export interface WatcherChange {
  /** What happened. */
  readonly event: WatcherChangeKind;
  /** The absolute path. */
  readonly path: string;
  /**
   * The content as text, as it is when the change is delivered. Undefined unless `includeContent`
   * was asked for, and for the reason in `contentOmitted`.
   */
  readonly content?: string;
  /** The same content as bytes. */
  readonly bytes?: Uint8Array;
  /** Why there is no content. Undefined where there is, and where none was asked for. */
  readonly contentOmitted?: ContentOmission;
  /** Size in bytes. 0 for directories and what is gone. */
  readonly size: number;
  /** When it was last modified. Undefined for what is gone. */
  readonly mtime: Date | undefined;
}

/** Changes that were not told one by one. */
export interface WatcherGap {
  /** Number of the first missing event, counted from the watcher's start. */
  readonly from: number;
  /** Number of the next event that is delivered. */
  readonly to: number;
  readonly reason: GapReason;
  /**
   * Whether the changes that follow make up for the gap: applied to a copy of the tree, they give
   * the tree. False: deletions may be missing, so list the tree again.
   */
  readonly complete: boolean;
}

/**
 * Why a watcher ended.
 *
 * - `destroyed`: somebody destroyed it.
 * - `abandoned`: nobody listened for longer than its lease.
 * - `failed`: it could not go on; an `error` event came before.
 * - `lost`: the process that held it died; an `error` event with the code `lost` came before. Files
 *   are still there: create another one.
 */
export type WatcherEnd = 'abandoned' | 'destroyed' | 'failed' | 'lost';

/** The events of a watcher and what their listeners get. */
export type WatcherEvents = {
  /** A file or directory changed. */
  readonly change: readonly [change: WatcherChange];
  /** The first connection for events stands. Told to late listeners too. */
  readonly ready: readonly [];
  /** Changes are missing here. Without this event none are. */
  readonly gap: readonly [gap: WatcherGap];
  /** Something went wrong. Without a listener nothing happens. */
  readonly error: readonly [error: SandboxError];
  /** The watcher has ended. Told to late listeners too. */
  readonly destroyed: readonly [info: { readonly reason: WatcherEnd }];
};
