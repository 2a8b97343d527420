import type { Reason } from '../../core/domain-error.ts';
import type { Difference, TreeEvent } from './events.ts';
import type { IgnoreRules } from './ignore-matcher.ts';

/** What a tree is watched with. */
export type TreeOptions = IgnoreRules & {
  /** As the API spells it. */
  readonly apiPath: string;
  /** In the file system of the agent, without symbolic links. */
  readonly directory: string;
  readonly maxEntries: number;
  readonly maxDeletions: number;
};

/** What the agent asks of the thread that watches. `tree` is the agent's name for a tree. */
export type WatchRequest =
  | ({ readonly type: 'open'; readonly tree: number } & TreeOptions)
  | { readonly type: 'close'; readonly tree: number }
  | {
      readonly type: 'difference';
      readonly tree: number;
      readonly request: number;
      readonly since: number;
      readonly limit: number;
    };

/** What the thread tells. */
export type WatchMessage =
  | { readonly type: 'opened'; readonly tree: number }
  | {
      readonly type: 'refused';
      readonly tree: number;
      readonly reason: Reason;
      readonly message: string;
    }
  | {
      readonly type: 'events';
      readonly tree: number;
      readonly from: number;
      readonly events: readonly TreeEvent[];
    }
  | { readonly type: 'failed'; readonly tree: number }
  | {
      readonly type: 'difference';
      readonly request: number;
      readonly difference: Difference | undefined;
    };
