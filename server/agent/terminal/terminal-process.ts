/** A size in characters. */
export type TerminalSize = { readonly cols: number; readonly rows: number };

/** A program to start. Its paths are those of the agent's own file system, and were checked. */
export type ProcessSpec = {
  /** Absolute path of the program. */
  readonly file: string;
  readonly args: readonly string[];
  /** Absolute path of an existing directory. */
  readonly cwd: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
};

/** How a program ended. Neither is known when it was lost from sight. */
export type ProcessExit = {
  /** Absent when a signal ended it or when it is not known. */
  readonly exitCode?: number;
  /** For example `SIGKILL`; empty if none did. */
  readonly signal: string;
};

/** Takes what a process does. Nothing is called before the start returned. */
export interface ProcessSink {
  /** Output, as it was read. The receiver must not keep the array: copy it. */
  onOutput(data: Uint8Array): void;
  /** Waiting input went to the program, so that there is room for more. */
  onInputRoom(): void;
  /** Called once, after the last output. */
  onExit(exit: ProcessExit): void;
}

/** A running program, on a pseudo terminal or on pipes. */
export interface TerminalProcess {
  /** Process id, which also names its session and its process group. */
  readonly pid: number;
  /** Bytes of input that were accepted and not yet taken by the program. */
  readonly pendingInputBytes: number;
  /** Stops reading output, so that the program waits. After the program's exit it has no effect. */
  pause(): void;
  /** Reads output again. */
  resume(): void;
  /**
   * Queues input. Undefined: the program's terminal or pipe took it. Else it resolves when that did, and
   * rejects when it never will.
   */
  write(data: Uint8Array): Promise<void> | undefined;
  /** Changes the size. Does nothing without a pseudo terminal. */
  resize(size: TerminalSize): void;
  /** Lets go of everything that is open. Ends with `onExit` if that was not called yet. */
  close(): void;
}
