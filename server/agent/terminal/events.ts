import type { ProcessExit } from './terminal-process.ts';

/** Why output is missing. */
export type GapReason = 'EVICTED' | 'SLOW_READER' | 'LEASE_EXPIRED' | 'INCARNATION';

/** What a reader of a terminal gets to see, in order. Cursors are bytes since the program started. */
export type TerminalEvent =
  | {
      readonly type: 'ready';
      readonly incarnation: string;
      readonly cursor: number;
      readonly replayUntil: number;
      readonly readerId: string;
      readonly writerId: string;
    }
  | { readonly type: 'gap'; readonly from: number; readonly to: number; readonly reason: GapReason }
  | { readonly type: 'keepAlive' }
  | { readonly type: 'output'; readonly cursor: number; readonly data: Uint8Array }
  | {
      readonly type: 'resized';
      readonly cursor: number;
      readonly cols: number;
      readonly rows: number;
    }
  | { readonly type: 'exited'; readonly cursor: number; readonly exit: ProcessExit };
