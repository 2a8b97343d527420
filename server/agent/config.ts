import { DomainError } from '../core/domain-error.ts';
import { LOG_LEVELS } from '../core/log.ts';

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
  /** Whether the network is this sandbox's own, so that all that listens in it does so in the sandbox. */
  readonly ownsNetwork: boolean;
  /**
   * Entry of the environment, `NAME=value`, by which this sandbox's processes are told from others that
   * can be seen. Empty where all that can be seen are its own.
   */
  readonly processMark: string;
};

/** Version of the protocol between gateway and agent. A gateway serves this one and the one before. */
export const AGENT_PROTOCOL_VERSION = 1;

/** Options for the Node.js that runs an agent. A small young generation: what a call leaves is garbage at once. */
export const AGENT_NODE_OPTIONS: readonly string[] = ['--max-semi-space-size=1'];

/** Where a sandbox's files are, as the API spells it. */
export const PROJECT_PATH = '/project';

const TEXTS = ['sandboxId', 'bootId', 'projectDirectory', 'homeDirectory'];
const NUMBERS = ['expiresAt', 'graceMs', 'listenFd'];

/** Reads what an agent is told. Throws BAD_SETTING, which names the field. */
export function parseAgentConfig(text: string): AgentConfig {
  const config = parseObject(text);
  for (const field of TEXTS)
    check(field, typeof config[field] === 'string' && config[field] !== '');
  for (const field of NUMBERS) check(field, Number.isFinite(config[field]));
  check('ownsNetwork', typeof config['ownsNetwork'] === 'boolean');
  check('processMark', typeof config['processMark'] === 'string');
  check('previousBootIds', Array.isArray(config['previousBootIds']));
  check(
    'logLevel',
    LOG_LEVELS.some((level) => level === config['logLevel']),
  );
  check(
    'shellEnvironment',
    typeof config['shellEnvironment'] === 'object' && config['shellEnvironment'] !== null,
  );
  // Every field was checked above; the gateway made the text from this very type.
  return config as AgentConfig;
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return { ...value };
  } catch {}
  throw new DomainError(
    'BAD_SETTING',
    "the agent's first argument must be its configuration as JSON",
  );
}

function check(field: string, isValid: boolean): void {
  if (!isValid)
    throw new DomainError(
      'BAD_SETTING',
      `${field} of the agent's configuration is missing or malformed`,
    );
}
