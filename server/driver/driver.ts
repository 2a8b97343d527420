import type { AgentConfig } from '../agent/config.ts';

/** What a box may reach: nothing, the internet but not the host, or the host's own network. */
export type Egress = 'none' | 'nat' | 'host';

/** Describes the box of one sandbox. */
export type BoxSpec = {
  readonly sandboxId: string;
  /**
   * Directory of the sandbox on the host. It holds `project/` (and whatever else the driver keeps:
   * `home/`, the agent's socket). The gateway creates and deletes it.
   */
  readonly directory: string;
  /** Host uid and gid that the box runs as. Absent when the gateway is not root. */
  readonly uid?: number;
  readonly egress: Egress;
  /** What the agent is told. The driver fills in paths that only it knows. */
  readonly agent: Omit<
    AgentConfig,
    | 'projectDirectory'
    | 'homeDirectory'
    | 'listenFd'
    | 'shellEnvironment'
    | 'ownsNetwork'
    | 'processMark'
  >;
};

/** How to reach an agent. */
export type Endpoint = {
  /** Unix socket. Short enough for the system's limit, whatever the depth of the directory. */
  readonly socketPath: string;
};

/** What a box left behind when it ended. */
export type BoxExit = {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** The end of what the agent wrote to standard error, at most 4 KiB. */
  readonly stderr: string;
};

/** A box that was started by this process. */
export interface Box {
  readonly endpoint: Endpoint;
  /**
   * What {@link Driver.destroy} needs to end this box from a later process: opaque text, kept in
   * the store. It identifies processes by more than a pid.
   */
  readonly handle: string;
  /** Resolves when the agent has ended. Never rejects. */
  readonly exited: Promise<BoxExit>;
}

/** A box as a later process knows it. */
export type BoxReference = {
  readonly directory: string;
  /** As {@link Box.handle}. Absent: the gateway died before it was kept. */
  readonly handle?: string;
  /** As {@link BoxSpec.uid}. Every process of this uid is ended too. */
  readonly uid?: number;
};

/** Starts and ends boxes. The same suite runs on every driver. */
export interface Driver {
  /** As in `COMPUTESDK_DRIVER`. */
  readonly name: string;
  /** Whether code in the box is kept from the host and from other boxes. */
  readonly isolated: boolean;
  /** Tries a real box. Throws DRIVER_UNAVAILABLE with the cause and the one fix. */
  verify(signal: AbortSignal): Promise<void>;
  /** Starts an agent in a new box. It survives this process. Resolves when its socket accepts. */
  start(spec: BoxSpec, signal: AbortSignal): Promise<Box>;
  /** Where the agent of this directory listens, whichever process started it. */
  endpoint(directory: string): Endpoint;
  /** Keeps the logs of a running box within their bound. Called every few seconds. Never rejects. */
  tend(directory: string): Promise<void>;
  /** Ends every process of a box, by whichever gateway process it was started. Idempotent. */
  destroy(box: BoxReference): Promise<void>;
  /** Gives back what this process holds for the driver. Boxes live on. */
  close(): void;
}
