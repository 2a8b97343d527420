import type { GapReason } from './connection/resumable-stream.ts';
import type { SandboxError } from './errors.ts';

/** How a terminal's program ended. */
export interface TerminalExit {
  /** The exit code. Undefined when a signal ended the program and when it is not known; never 0 then. */
  readonly exitCode: number | undefined;
  /** The signal that ended it, for example `SIGKILL`. Undefined if none did. */
  readonly signal: string | undefined;
}

/** Output that is missing: the bytes from `from` up to, not including, `to`. */
export interface TerminalGap {
  /** Position of the first missing byte, counted from the program's start. */
  readonly from: number;
  /** Position of the next byte that is delivered. */
  readonly to: number;
  readonly reason: GapReason;
}

/** A terminal's size. */
export interface TerminalSize {
  /** Width in columns. */
  readonly cols: number;
  /** Height in rows. */
  readonly rows: number;
}

/** What is known about a piece of output. */
export interface TerminalDataInfo {
  /**
   * Whether it was produced before this client attached. A terminal emulator must not answer the
   * queries in it: the program does not wait for the answers any more and would take them for
   * typed input.
   */
  readonly replay: boolean;
  /**
   * Keeps the piece unacknowledged until the function that it returns is called. For consumers that
   * take their time, such as terminal emulators: the program waits for them instead of their queue
   * growing. Call it before the listener returns; the server sends 768 KiB ahead at the most.
   *
   * @example
   * terminal.on('data', (bytes, { hold }) => xterm.write(bytes, hold()));
   */
  readonly hold: () => () => void;
}

/** The events of a terminal and what their listeners get. */
export type TerminalEvents = {
  /** Output as text. A character that was split between two pieces arrives whole. */
  readonly output: readonly [text: string];
  /** Output as bytes, exactly as the program wrote them. */
  readonly data: readonly [bytes: Uint8Array, info: TerminalDataInfo];
  /** The program ended; all output came before. Told to late listeners too. */
  readonly exit: readonly [exit: TerminalExit];
  /** Output is missing here. Without this event nothing is. */
  readonly gap: readonly [gap: TerminalGap];
  /** The size changed at this point of the output. */
  readonly resize: readonly [size: TerminalSize];
  /** Something went wrong. Without a listener nothing happens. */
  readonly error: readonly [error: SandboxError];
};
