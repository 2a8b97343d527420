import { BufferPool } from '../../core/buffer-pool.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { isId, newId } from '../../core/id.ts';
import type { Actor, Principal } from '../../core/principal.ts';
import { Quota } from '../../core/quota.ts';
import { RecentRequests } from '../../core/recent-requests.ts';
import { TERMINAL_LIMITS, type TerminalLimits } from './limits.ts';
import { startPty } from './node-pty.ts';
import { startOnPipes } from './pipe-process.ts';
import { endFamily, TERMINAL_ID_VARIABLE } from './process-family.ts';
import {
  type Program,
  type ProgramRequest,
  type ProgramSurroundings,
  resolveProgram,
} from './program.ts';
import { checkLease } from './reader-table.ts';
import { checkSize, TerminalSession } from './session.ts';
import type { TerminalSize } from './terminal-process.ts';

export type TerminalRegistryOptions = {
  readonly clock: Clock;
  /** Names this life of the agent. */
  readonly bootId: string;
  /** Earlier lives, whose terminals are lost. */
  readonly previousBootIds: readonly string[];
  readonly surroundings: Omit<ProgramSurroundings, 'reservedNames'>;
  readonly limits?: Partial<TerminalLimits>;
  /** Called whenever a terminal gets input or its program prints. Must be quick. */
  readonly onActivity?: () => void;
};

/** What a caller says about the terminal to create. */
export type CreateTerminalOptions = ProgramRequest & {
  /** Empty: every call creates. */
  readonly requestId: string;
  readonly name: string;
  readonly pty: boolean;
  readonly size: TerminalSize;
  /** Reserves a reader, with this lease. */
  readonly readerLeaseMs?: number;
};

export type CreatedTerminal = {
  readonly session: TerminalSession;
  readonly writerId: string;
  /** Empty if none was asked for. */
  readonly readerId: string;
};

/** A terminal's id begins with `trm` and this many random characters of its agent's boot id. */
const TAG_CHARS = 6;
const MAX_NAME_CHARS = 128;
const TERM_ON_PTY = 'xterm-256color';
const TERM_ON_PIPES = 'dumb';

/** The terminals of a sandbox, for one life of its agent. */
export class TerminalRegistry {
  readonly limits: TerminalLimits;
  readonly #options: TerminalRegistryOptions;
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #sessions = new Map<string, TerminalSession>();
  /** When each exited terminal's program ended, in that order. */
  readonly #exitedAt = new Map<string, number>();
  readonly #live: Quota;
  readonly #streams: Quota;
  readonly #buffers: BufferPool;
  readonly #requests: RecentRequests<CreatedTerminal>;
  #forgetTimer: Timer | undefined;
  #isClosed = false;

  constructor(options: TerminalRegistryOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.limits = { ...TERMINAL_LIMITS, ...options.limits };
    const { liveTerminals, streams, messageBytes, idleBuffers, requestKeptMs, requests } =
      this.limits;
    this.#live = new Quota(liveTerminals, 'live terminals of a sandbox');
    this.#streams = new Quota(streams, 'streams of a sandbox');
    this.#buffers = new BufferPool({ bufferBytes: messageBytes, idle: idleBuffers });
    this.#requests = new RecentRequests({
      clock: options.clock,
      keptMs: requestKeptMs,
      limit: requests,
    });
  }

  /** Starts a program. A repeated `requestId` gives the same terminal. Throws SPAWN_FAILED, LIMIT_REACHED. */
  create(principal: Principal, options: CreateTerminalOptions): Promise<CreatedTerminal> {
    return this.#requests.run({ actor: principal, requestId: options.requestId }, () =>
      this.#create(principal, options),
    );
  }

  /** The terminal of that id. Throws INVALID_ARGUMENT, LOST, NOT_FOUND. */
  get(id: string): TerminalSession {
    checkId(id);
    const session = this.#sessions.get(id);
    if (session) return session;
    if (this.#options.previousBootIds.some((bootId) => tagOf(bootId) === tagOf(id))) {
      throw new DomainError(
        'LOST',
        `terminal ${id} was lost when the sandbox's agent ended; files are still there`,
      );
    }
    throw new DomainError('NOT_FOUND', `there is no terminal ${id}`, { field: 'terminalId' });
  }

  /** All terminals, oldest first. */
  list(): TerminalSession[] {
    return [...this.#sessions.values()];
  }

  /** Ends a terminal and forgets it. Idempotent. */
  async destroy(id: string): Promise<void> {
    checkId(id);
    const session = this.#sessions.get(id);
    if (!session) return;
    await session.destroy();
    this.#forget(session);
  }

  /** Ends every process that was ever started here. Nothing can be created any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#forgetTimer?.clear();
    const leaders = this.list().flatMap((session) => (session.isLive ? [session.pid] : []));
    await endFamily({ leaders, mark: `trm${tagOf(this.#options.bootId)}` }, this.#clock);
  }

  async #create(actor: Actor, options: CreateTerminalOptions): Promise<CreatedTerminal> {
    if (options.name.length > MAX_NAME_CHARS)
      throw invalidArgument('name', `must be at most ${MAX_NAME_CHARS} characters`);
    if (options.pty) checkSize(options.size);
    if (options.readerLeaseMs !== undefined)
      checkLease('readerLease', options.readerLeaseMs, this.limits);
    const release = this.#live.acquire();
    try {
      const reservedNames = [TERMINAL_ID_VARIABLE];
      const program = await resolveProgram(options, {
        ...this.#options.surroundings,
        reservedNames,
      });
      if (this.#isClosed) throw new DomainError('SHUTTING_DOWN', 'the sandbox is ending');
      return this.#start(program, { ...options, actor, release });
    } catch (error) {
      release();
      throw error;
    }
  }

  #start(
    program: Program,
    options: CreateTerminalOptions & { actor: Actor; release: () => void },
  ): CreatedTerminal {
    const { pty, size, name, actor, release, readerLeaseMs } = options;
    const { bootId } = this.#options;
    const id = `trm${tagOf(bootId)}${newId('trm').slice('trm'.length + TAG_CHARS)}`;
    const term = options.env['TERM'] ?? (pty ? TERM_ON_PTY : TERM_ON_PIPES);
    const { cwd } = program.spec;
    const env = { ...program.spec.env, PWD: cwd, TERM: term, [TERMINAL_ID_VARIABLE]: id };
    const spec = { ...program.spec, env };
    const clock = this.#clock;
    const session = new TerminalSession({
      facts: {
        id,
        name,
        incarnation: bootId,
        shell: program.shell,
        cwd: program.cwd,
        createdAt: clock.now(),
      },
      ...{ clock, limits: this.limits, streams: this.#streams, buffers: this.#buffers },
      ...(pty && { size }),
      start: (sink) =>
        pty ? startPty({ ...spec, size }, sink, clock) : startOnPipes(spec, sink, clock),
      onActivity: this.#options.onActivity ?? (() => {}),
      onExit: () => {
        release();
        this.#exitedAt.set(id, clock.monotonic());
        this.#forgetOld();
      },
    });
    this.#sessions.set(id, session);
    const readerId =
      readerLeaseMs === undefined ? '' : session.readers.reserve(actor, readerLeaseMs);
    return { session, writerId: session.writers.open(actor), readerId };
  }

  #forgetOld(): void {
    this.#forgetTimer?.clear();
    this.#forgetTimer = undefined;
    const { exitedTerminals, exitedKeptMs } = this.limits;
    for (const [id, exitedAt] of this.#exitedAt) {
      const remaining = exitedAt + exitedKeptMs - this.#clock.monotonic();
      if (remaining > 0 && this.#exitedAt.size <= exitedTerminals) {
        this.#forgetTimer = this.#clock.setTimer(() => this.#forgetOld(), remaining);
        return;
      }
      this.#forget(this.get(id));
    }
  }

  #forget(session: TerminalSession): void {
    this.#sessions.delete(session.facts.id);
    this.#exitedAt.delete(session.facts.id);
    session.dispose();
  }
}

function checkId(id: string): void {
  if (!isId('trm', id)) throw invalidArgument('terminalId', 'is not the id of a terminal');
}

/** The random characters that a boot id shares with the ids of its terminals. */
function tagOf(id: string): string {
  return id.slice('trm'.length, 'trm'.length + TAG_CHARS);
}
