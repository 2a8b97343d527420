/** A TCP port that something listens on. */
export type OpenPort = {
  readonly port: number;
  /** What is listened on, for example `127.0.0.1` or `::`. Empty for one that was only announced. */
  readonly address: string;
  /** Name of the program. Empty if it is not known. */
  readonly process: string;
  /** Zero if it is not known. */
  readonly pid: number;
  /** When it was seen first, in milliseconds since the epoch. */
  readonly openedAt: number;
};

export type PortChange = 'open' | 'close';

/** What happened in a sandbox. */
export type Signal =
  | { readonly type: 'port'; readonly change: PortChange; readonly port: OpenPort }
  | { readonly type: 'error'; readonly message: string; readonly source: string }
  | { readonly type: 'serverReady'; readonly port: number; readonly path: string }
  | { readonly type: 'custom'; readonly name: string; readonly data: string };

/** What a program may say. */
export type EmittedSignal =
  | Exclude<Signal, { readonly type: 'port' }>
  | { readonly type: 'port'; readonly change: PortChange; readonly port: number };

/** Why signals are missing. */
export type GapReason = 'EVICTED' | 'SLOW_READER' | 'LEASE_EXPIRED' | 'INCARNATION';

/** What a reader gets to see, in order. Cursors are numbers of signals since the agent started. */
export type SignalEvent =
  | {
      readonly type: 'ready';
      readonly incarnation: string;
      readonly cursor: number;
      readonly replayUntil: number;
      readonly readerId: string;
    }
  | { readonly type: 'gap'; readonly from: number; readonly to: number; readonly reason: GapReason }
  | { readonly type: 'keepAlive' }
  | { readonly type: 'ports'; readonly cursor: number; readonly ports: readonly OpenPort[] }
  | { readonly type: 'signal'; readonly cursor: number; readonly signal: Signal };
