import { chmodSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { COMMAND_NAME, commandProgram, SOCKET_NAME } from './command-program.ts';
import type { EmittedSignal } from './events.ts';

export type BoxCommandOptions = {
  /** Where the command and its socket are put, in a folder of their own. */
  readonly homeDirectory: string;
  /** The node binary that runs the command. */
  readonly node: string;
  readonly emit: (signal: EmittedSignal) => Promise<void>;
  readonly clock: Clock;
  /** Called when the socket cannot be listened on. */
  readonly onFailed: (error: unknown) => void;
};

/** Folder in the home directory. */
const FOLDER = '.computesdk';
/** Programs that are talked to at once. More are refused. */
export const MAX_COMMAND_CONNECTIONS = 16;
/** Longest message, in characters. */
const MAX_MESSAGE_CHARS = 16 * 1024;
/** How long a program may take to say what it wants. */
export const MAX_COMMAND_MS = 5_000;

/**
 * The command by which programs in the box emit signals, and the socket that it talks to. Both belong to
 * the box: whoever can use them can run any program here. What they say is checked and limited as what
 * a client says.
 */
export class BoxCommand {
  /** Where the command is, for the search path of programs. */
  readonly binDirectory: string;
  readonly #server: Server;

  private constructor(binDirectory: string, server: Server) {
    this.binDirectory = binDirectory;
    this.#server = server;
  }

  /** Puts the command in place and listens. Throws what the file system throws. */
  static open(options: BoxCommandOptions): BoxCommand {
    const { homeDirectory, node, onFailed } = options;
    const folder = join(homeDirectory, FOLDER);
    const binDirectory = join(folder, 'bin');
    mkdirSync(binDirectory, { recursive: true, mode: 0o700 });
    const command = join(binDirectory, COMMAND_NAME);
    writeFileSync(command, commandProgram(node), { mode: 0o755 });
    chmodSync(command, 0o755);
    rmSync(join(folder, SOCKET_NAME), { force: true });
    const server = createServer({ allowHalfOpen: true }, (socket) => talk(socket, options));
    server.maxConnections = MAX_COMMAND_CONNECTIONS;
    // Past the limit of 107 bytes for the path of a socket, however deep the folder lies. The
    // descriptor stays open: the name is removed through it at the end.
    server.listen(`/proc/self/fd/${openSync(folder, 'r')}/${SOCKET_NAME}`);
    server.on('error', onFailed);
    server.unref();
    return new BoxCommand(binDirectory, server);
  }

  /** Listens no more. */
  close(): void {
    this.#server.close();
  }
}

/** Hears one message, a line of JSON, and answers with one line: `ok`, or what is wrong. */
function talk(socket: Socket, { emit, clock }: BoxCommandOptions): void {
  let text = '';
  const answer = (line: string) => socket.end(`${line}\n`);
  const hear = (part: string) => {
    text += part;
    if (text.length <= MAX_MESSAGE_CHARS && !text.includes('\n')) return;
    socket.removeListener('data', hear);
    socket.resume();
    if (text.length > MAX_MESSAGE_CHARS)
      answer(`the message must be at most ${MAX_MESSAGE_CHARS} characters`);
    else void obey(text, emit).then(answer);
  };
  const timer = clock.setTimer(() => socket.destroy(), MAX_COMMAND_MS);
  socket.setEncoding('utf8').on('data', hear);
  // A program that is gone does not hear the answer.
  socket.on('error', () => {});
  socket.on('close', () => timer.clear());
}

async function obey(text: string, emit: BoxCommandOptions['emit']): Promise<string> {
  try {
    await emit(parseSignal(text));
    return 'ok';
  } catch (error) {
    return error instanceof DomainError ? error.message : 'the message makes no sense';
  }
}

/** The signal of a message. Throws for anything else; bounds are checked where all signals are. */
function parseSignal(text: string): EmittedSignal {
  const value: unknown = JSON.parse(text);
  const field = (name: string): unknown =>
    typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  const words = (name: string) => String(field(name) ?? '');
  switch (field('type')) {
    case 'error':
      return { type: 'error', message: words('message'), source: words('source') };
    case 'ready':
      return { type: 'serverReady', port: Number(field('port')), path: words('path') };
    case 'port': {
      const change = field('change') === 'close' ? 'close' : 'open';
      return { type: 'port', port: Number(field('port')), change };
    }
    case 'emit':
      return { type: 'custom', name: words('name'), data: words('data') };
    default:
      throw new Error('an unknown kind of signal');
  }
}
