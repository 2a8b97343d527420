/** What an agent is told at its start, as JSON in its first argument. It holds no secret. */
export type AgentConfig = {
  readonly sandboxId: string;
  /** Names this life of the agent. It is the incarnation of all its state. */
  readonly bootId: string;
  /** Boot ids of earlier lives, so that their terminals are told apart from ones that never were. */
  readonly previousBootIds: readonly string[];
  /** The agent ends itself at this time, in milliseconds since the epoch. */
  readonly expiresAt: number;
  /** The agent ends itself when no gateway greeted it for this long, in milliseconds. */
  readonly graceMs: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** File descriptor of the listening socket. */
  readonly listenFd: number;
  /** Where the API's `/project` is in this agent's own file system. */
  readonly projectDirectory: string;
  /** The home directory of programs in the box. */
  readonly homeDirectory: string;
  /** The whole environment of a program, before what its terminal adds. */
  readonly shellEnvironment: Readonly<Record<string, string>>;
};

/** Version of the protocol between gateway and agent. A gateway serves this one and the one before. */
export const AGENT_PROTOCOL_VERSION = 1;

/** Where a sandbox's files are, as the API spells it. */
export const PROJECT_PATH = '/project';
