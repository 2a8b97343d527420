import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { CreateTerminalRequestSchema } from '../gen/computesdk/v1/terminal_service_pb.ts';
import { newRequestId } from './connection/request-id.ts';
import { SandboxError } from './errors.ts';
import type { SignalOption } from './signal-option.ts';
import { Terminal } from './terminal.ts';
import type { TerminalContext } from './terminal-context.ts';
import { READER_LEASE_MS } from './terminal-source.ts';
import { toUint32 } from './values.ts';

/** Describes the terminal to create. */
export interface TerminalCreateOptions extends SignalOption {
  /** Whether the program gets a pseudo terminal. Default: true. Without, it runs on pipes. */
  readonly pty?: boolean | undefined;
  /** Absolute path of the program, or a name in PATH. Default: `/bin/bash`, else `/bin/sh`. */
  readonly shell?: string | undefined;
  /** Arguments of the program. Default: none. */
  readonly args?: readonly string[] | undefined;
  /** Where to start it. Default: `/project`. */
  readonly cwd?: string | undefined;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Width in columns, 1 to 4,096. Default: 80. */
  readonly cols?: number | undefined;
  /** Height in rows, 1 to 4,096. Default: 24. */
  readonly rows?: number | undefined;
  /** A label for people, up to 128 characters. Default: none. */
  readonly name?: string | undefined;
}

/** The terminals of a sandbox. */
export class Terminals {
  readonly #context: TerminalContext;

  /** @internal */
  constructor(context: TerminalContext) {
    this.#context = context;
  }

  /**
   * Starts a program. Retried under the hood for up to 30 seconds, it never starts a second one.
   * Output waits for the first listener: up to 1 MiB of it, and the program for 30 seconds.
   *
   * @throws SandboxError `invalid_argument`, `spawn_failed`, `limit_reached` (64 live terminals),
   * `permission_denied`, `unreachable`, `canceled`.
   *
   * @example
   * const terminal = await sandbox.terminal.create({ pty: true, shell: '/bin/bash' });
   */
  async create(options: TerminalCreateOptions = {}): Promise<Terminal> {
    const { client, connection } = this.#context;
    const request = toRequest(options);
    const { terminal, readerId, writerId } = await connection.call(
      (attempt) => client.createTerminal(request, { signal: attempt }),
      { signal: options.signal },
    );
    if (!terminal) throw emptyAnswer();
    return new Terminal(this.#context, { record: terminal, created: { readerId, writerId } });
  }

  /** All terminals, oldest first, those that exited within the last 10 minutes included. */
  async list(options: SignalOption = {}): Promise<Terminal[]> {
    const { client, connection } = this.#context;
    const { terminals } = await connection.call(
      (attempt) => client.listTerminals({}, { signal: attempt }),
      options,
    );
    return terminals.map((record) => new Terminal(this.#context, { record }));
  }

  /**
   * A terminal by its id, for reading and writing. Its listeners get the output that the server
   * holds, then what follows.
   *
   * @throws SandboxError `not_found`; `lost` if the process that held it died.
   */
  async retrieve(id: string, options: SignalOption = {}): Promise<Terminal> {
    const { client, connection } = this.#context;
    const { terminal } = await connection.call(
      (attempt) => client.getTerminal({ terminalId: id }, { signal: attempt }),
      options,
    );
    if (!terminal) throw emptyAnswer();
    return new Terminal(this.#context, { record: terminal });
  }

  /** Ends every process of a terminal and forgets it. Idempotent. */
  async destroy(id: string, options: SignalOption = {}): Promise<void> {
    const { client, connection } = this.#context;
    await connection.call(
      (attempt) => client.destroyTerminal({ terminalId: id }, { signal: attempt }),
      options,
    );
  }
}

function toRequest(
  options: TerminalCreateOptions,
): MessageInitShape<typeof CreateTerminalRequestSchema> {
  const { pty, cols, rows } = options;
  return {
    requestId: newRequestId(),
    readerLease: durationFromMs(READER_LEASE_MS),
    shell: options.shell ?? '',
    args: [...(options.args ?? [])],
    cwd: options.cwd ?? '',
    env: { ...options.env },
    name: options.name ?? '',
    ...(pty !== undefined && { pty }),
    ...(cols !== undefined && { cols: toUint32('cols', cols) }),
    ...(rows !== undefined && { rows: toUint32('rows', rows) }),
  };
}

function emptyAnswer(): SandboxError {
  return new SandboxError('bad_sandbox_response', 'the sandbox answered without a terminal');
}
