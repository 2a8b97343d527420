import type { GapReason } from './connection/resumable-stream.ts';
import type { SandboxError } from './errors.ts';

/** A port of the sandbox opened or closed. For each port the two alternate. */
export interface PortSignal {
  readonly signal: 'port';
  /** `close` comes a second after nothing listens any more: a server that restarts is not gone. */
  readonly type: 'open' | 'close';
  readonly port: number;
  /** The port's preview, for an iframe or a link. */
  readonly url: string;
  /** What is listened on, for example `127.0.0.1` or `::`. Empty if a program only announced it. */
  readonly address: string;
  /** Name of the program that listens. Undefined if it is not known. */
  readonly process: string | undefined;
  /** Process id of it inside the sandbox. Undefined if it is not known. */
  readonly pid: number | undefined;
}

/** A port that is open. */
export type OpenPort = Omit<PortSignal, 'signal' | 'type'>;

/** Something went wrong in the sandbox. */
export interface ErrorSignal {
  readonly signal: 'error';
  /** What, for people. A program in the sandbox may have written it: show it as text. */
  readonly message: string;
  /** Where: `memory`, `disk`, `watcher`, `ports`, or what a program says. */
  readonly source: string;
}

/** A program in the sandbox says that its server can be used. */
export interface ServerReadySignal {
  readonly signal: 'serverReady';
  readonly port: number;
  /** Where to begin, at the port's preview. */
  readonly url: string;
}

/** Something that a program in the sandbox, or another client, sent. */
export interface CustomSignal {
  readonly signal: 'custom';
  /** What kind it is. */
  readonly name: string;
  readonly data: string;
}

/** Any signal; `signal` says which one. */
export type AnySignal = CustomSignal | ErrorSignal | PortSignal | ServerReadySignal;

/** Signals that are missing: those from `from` up to, not including, `to`. Ports are put right after it. */
export interface SignalGap {
  /** Number of the first missing signal. */
  readonly from: number;
  /** Number of the next one that is delivered. */
  readonly to: number;
  readonly reason: GapReason;
}

/** The events of {@link Signals} and what their listeners get. */
export type SignalEvents = {
  /** A port opened or closed. A new listener first gets the ports that are open. */
  readonly port: readonly [signal: PortSignal];
  /** Something went wrong in the sandbox. Without a listener nothing happens. */
  readonly error: readonly [signal: ErrorSignal];
  /** A program says that its server can be used. */
  readonly serverReady: readonly [signal: ServerReadySignal];
  /** A program, or another client, sent something of its own. */
  readonly custom: readonly [signal: CustomSignal];
  /** Any of the above. A new listener first gets the ports that are open. */
  readonly signal: readonly [signal: AnySignal];
  /** Signals are missing here. Without this event none are. */
  readonly gap: readonly [gap: SignalGap];
  /** No more signals will come: access ended, or the sandbox is gone. Not told after `stop()`. */
  readonly closed: readonly [error: SandboxError];
};
