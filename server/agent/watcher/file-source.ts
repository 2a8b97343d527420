import type { Stats } from 'node:fs';

/** Who takes what a {@link FileSource} notices. Paths are below the root; the root is the empty one. */
export type FileSink = {
  /** The system told of something; called for each of its events, before what follows from it. */
  readonly onEvent: () => void;
  /** A path was found by the first scan. */
  readonly onFound: (path: string, stats: Stats | undefined) => void;
  /** Something happened to a path; what, its state says. `isWrite`: it may be the content only. */
  readonly onHint: (path: string, isWrite: boolean) => void;
  /** A part of the tree cannot be watched. */
  readonly onError: (error: NodeJS.ErrnoException) => void;
};

/** Something that watches a tree. It tells where to look, not what happened. */
export type FileSource = {
  /** Resolves when the first scan is done: from then on nothing happens without a hint. */
  readonly ready: Promise<void>;
  /** Stops. Idempotent. */
  close(): Promise<void>;
};

/** Starts to watch a tree. `isIgnored` is asked before anything below a path is looked at. */
export type OpenFileSource = (options: {
  readonly directory: string;
  readonly isIgnored: (path: string, isDirectory: boolean | undefined) => boolean;
  readonly sink: FileSink;
}) => FileSource;
