import type { Reason } from '../../core/domain-error.ts';

/** What happened to a file or directory. A symbolic link counts as a file. */
export type ChangeKind = 'add' | 'change' | 'unlink' | 'addDir' | 'unlinkDir';

/** One change of a tree. */
export type TreeChange = {
  readonly kind: ChangeKind;
  /** Below the tree's root, without a slash at either end. Empty for the root itself. */
  readonly path: string;
  /** In bytes. Zero for directories and what is gone. */
  readonly size: number;
  /** Milliseconds since the epoch. Zero for what is gone. */
  readonly mtimeMs: number;
};

/** What is told about a tree, in order and numbered. */
export type TreeEvent =
  | ({ readonly type: 'change' } & TreeChange)
  /** The system dropped events; the changes that follow make up for it. */
  | { readonly type: 'overflow' }
  | { readonly type: 'trouble'; readonly reason: Reason; readonly message: string };

/** A change at its number. */
export type NumberedChange = TreeChange & { readonly number: number };

/** Changes since a number, the last one of each path. */
export type Difference = {
  readonly changes: readonly NumberedChange[];
  /** Where to go on. */
  readonly next: number;
  /** Whether deletions may be missing. */
  readonly isIncomplete: boolean;
};

/** Why events are missing. */
export type GapReason = 'EVICTED' | 'SLOW_READER' | 'LEASE_EXPIRED' | 'INCARNATION' | 'OVERFLOW';

/** Why content is absent. */
export type ContentOmission = 'TOO_LARGE' | 'BINARY' | 'UNREADABLE';

/** Why a watcher ended. */
export type WatcherEnd = 'DESTROYED' | 'ABANDONED' | 'FAILED';

/** What a reader of a watcher gets to see, in order. Cursors are numbers of events. */
export type WatcherEvent =
  | {
      readonly type: 'ready';
      readonly incarnation: string;
      readonly cursor: number;
      readonly replayUntil: number;
      readonly readerId: string;
    }
  | {
      readonly type: 'gap';
      readonly from: number;
      readonly to: number;
      readonly reason: GapReason;
      readonly isIncomplete: boolean;
    }
  | { readonly type: 'keepAlive' }
  | {
      readonly type: 'change';
      readonly cursor: number;
      readonly nextCursor: number;
      readonly kind: ChangeKind;
      /** As the API spells it. */
      readonly path: string;
      readonly size: number;
      readonly mtimeMs: number;
      /** The first part of the content. */
      readonly content?: Uint8Array;
      readonly omission?: ContentOmission;
      /** Bytes of content in the events that follow. */
      readonly followingBytes: number;
    }
  | { readonly type: 'content'; readonly data: Uint8Array }
  | {
      readonly type: 'error';
      readonly cursor: number;
      readonly nextCursor: number;
      readonly reason: Reason;
      readonly message: string;
    }
  | { readonly type: 'destroyed'; readonly cursor: number; readonly end: WatcherEnd };
