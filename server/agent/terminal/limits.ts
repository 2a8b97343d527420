/** Every bound of terminals, in one place. Bytes are of output or input, times in milliseconds. */
export type TerminalLimits = {
  /** Terminals whose program runs. More are refused. */
  readonly liveTerminals: number;
  /** Terminals whose program has exited. The oldest is forgotten when there are more. */
  readonly exitedTerminals: number;
  /** How long an exited terminal is kept, unless there are too many. */
  readonly exitedKeptMs: number;
  /** Output kept of an exited terminal, once nobody is reading the rest. */
  readonly exitedLogBytes: number;
  /** How long after the exit everything is kept for readers that were never there before. */
  readonly exitedTrimMs: number;
  /** Output kept of a running terminal. */
  readonly logBytes: number;
  /** Output in one message. 2^16 − 32: the encoder doubles its buffer at powers of two. */
  readonly messageBytes: number;
  /** Buffers of that size kept for the next messages, in the whole sandbox. More become garbage. */
  readonly idleBuffers: number;
  /** What an acknowledging reader gets beyond what it acknowledged. */
  readonly windowBytes: number;
  /** How long a stream may be idle before it says that it lives. */
  readonly keepAliveMs: number;
  /** A connection that takes nothing for this long is closed. */
  readonly stallMs: number;
  /** How long a reader whose connection broke is waited for, if it did not say. */
  readonly leaseMs: number;
  /** The longest such wait. */
  readonly maxLeaseMs: number;
  /** Readers remembered per terminal. The longest absent one is forgotten when there are more. */
  readonly readers: number;
  /** Streams of all terminals. More are refused. */
  readonly streams: number;
  /** Writers remembered per terminal. More are refused while none may be forgotten. */
  readonly writers: number;
  /** How long a writer that is not connected is remembered at least. */
  readonly writerKeptMs: number;
  /** Numbered inputs of one writer in flight. */
  readonly inFlight: number;
  /** Input in one call. */
  readonly inputBytes: number;
  /** Input that waits for the program, and, counted apart, input that waits for its turn. */
  readonly pendingInputBytes: number;
  /** How long a `request_id` is remembered. */
  readonly requestKeptMs: number;
  /** Request ids remembered. More creations that carry one are refused. */
  readonly requests: number;
  /** A resize that follows another sooner than this waits, and the last one wins. */
  readonly resizeIntervalMs: number;
};

const KIB = 1024;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** The bounds that are in force unless a test says otherwise. */
export const TERMINAL_LIMITS: TerminalLimits = {
  liveTerminals: 64,
  exitedTerminals: 256,
  exitedKeptMs: 10 * MINUTE,
  exitedLogBytes: 64 * KIB,
  exitedTrimMs: 30 * SECOND,
  logBytes: KIB * KIB,
  messageBytes: 65_504,
  idleBuffers: 64,
  windowBytes: 768 * KIB,
  keepAliveMs: 5 * SECOND,
  stallMs: 30 * SECOND,
  leaseMs: 30 * SECOND,
  maxLeaseMs: 10 * MINUTE,
  readers: 256,
  streams: 256,
  writers: 256,
  writerKeptMs: 10 * MINUTE,
  inFlight: 256,
  inputBytes: 64 * KIB,
  pendingInputBytes: KIB * KIB,
  requestKeptMs: 10 * MINUTE,
  requests: 10_000,
  resizeIntervalMs: 16,
};
