/** Every bound of signals, in one place. Times are in milliseconds. */
export type SignalLimits = {
  /** Signals kept. The oldest are dropped when there are more. */
  readonly signals: number;
  /** What the kept signals take in memory, in bytes, roughly. The oldest are dropped above it. */
  readonly signalBytes: number;
  /** Ports that are told of. Further ones are not, which an error tells once. */
  readonly openPorts: number;
  /** How long nothing must listen on a port before it counts as closed. */
  readonly portRestartMs: number;
  /** How often is looked while nothing happens. */
  readonly calmLookMs: number;
  /** The same where the kernel does not count sockets, so that each look reads their list. */
  readonly calmScanMs: number;
  /** First and shortest wait after activity; it doubles up to the next two. */
  readonly firstLookMs: number;
  readonly activeLookMs: number;
  readonly activeScanMs: number;
  /** How long activity counts as such. */
  readonly activeMs: number;
  /**
   * The list of sockets is read this often also while their number stays the same: one may have taken
   * the place of another.
   */
  readonly calmRescanMs: number;
  readonly activeRescanMs: number;
  /** After it showed nothing new it is not read again sooner than this, however often their number changes. */
  readonly scanGapMs: number;
  /** How often disk and memory are looked at. */
  readonly healthMs: number;
  /** The disk counts as full below this much room, in bytes. */
  readonly diskRoomBytes: number;
  /** How long a stream may be idle before it says that it lives. */
  readonly signalKeepAliveMs: number;
  /** How long ports are looked for on behalf of a reader whose connection ended, if it did not say. */
  readonly signalLeaseMs: number;
  /** The longest such time. */
  readonly maxSignalLeaseMs: number;
  /** Streams at once. More are refused. */
  readonly signalStreams: number;
  /** Readers remembered. The longest absent one is forgotten when there are more. */
  readonly signalReaders: number;
  /** Signals that programs may emit at once. */
  readonly emitBurst: number;
  /** Signals that they may emit in a second after that. */
  readonly emitsPerSecond: number;
  /** How long a `request_id` is remembered. */
  readonly requestKeptMs: number;
  /** Request ids remembered. More emissions that carry one are refused. */
  readonly requests: number;
};

const MIB = 1024 * 1024;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** The bounds that are in force unless a test says otherwise. */
export const SIGNAL_LIMITS: SignalLimits = {
  signals: 10_000,
  signalBytes: 4 * MIB,
  openPorts: 1024,
  portRestartMs: SECOND,
  calmLookMs: 250,
  calmScanMs: SECOND,
  firstLookMs: 50,
  activeLookMs: 100,
  activeScanMs: 400,
  activeMs: 3 * SECOND,
  calmRescanMs: 10 * SECOND,
  activeRescanMs: 500,
  scanGapMs: 200,
  healthMs: 10 * SECOND,
  diskRoomBytes: 16 * MIB,
  signalKeepAliveMs: 5 * SECOND,
  signalLeaseMs: 30 * SECOND,
  maxSignalLeaseMs: 10 * MINUTE,
  signalStreams: 256,
  signalReaders: 256,
  emitBurst: 100,
  emitsPerSecond: 20,
  requestKeptMs: 10 * MINUTE,
  requests: 10_000,
};

/** Longest message of a failure, in characters. */
export const MAX_FAILURE_CHARS = 4096;
/** Longest source of a failure, in characters. */
export const MAX_SOURCE_CHARS = 128;
/** Longest name of a custom signal, in characters. */
export const MAX_SIGNAL_NAME_CHARS = 128;
/** Most that a custom signal carries, in characters. */
export const MAX_SIGNAL_DATA_CHARS = 4096;
/** Longest path of a server that is ready, in characters. */
export const MAX_READY_PATH_CHARS = 2048;
