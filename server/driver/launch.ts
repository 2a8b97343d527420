import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import type { AgentSockets } from './agent-socket.ts';
import { openLog, readTail } from './box-log.ts';
import type { BoxExit } from './driver.ts';

export type LaunchOptions = {
  /** Directory of the sandbox. */
  readonly directory: string;
  readonly sockets: AgentSockets;
  /** Program name first. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  /** How many pipes to this process the child gets, from {@link FIRST_PIPE_FD} on. */
  readonly pipes: number;
};

/** A child that holds a listening socket which has no name yet. */
export type Launched = {
  readonly pid: number;
  /** Our ends of the child's pipes. */
  readonly pipes: readonly Socket[];
  readonly exited: Promise<BoxExit>;
  /** Makes the socket reachable. */
  publish(): void;
  /** Takes the socket back, unless it was published. */
  discard(): void;
};

/** Descriptor of the listening socket in the child. */
export const LISTEN_FD = 3;
/** Descriptor of the child's first pipe. */
export const FIRST_PIPE_FD = 4;

/**
 * Starts a child that outlives this process: a session of its own, standard error in a file, nothing
 * inherited but the listening socket and the pipes.
 */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { directory, workingDirectory } = options;
  const socket = await options.sockets.listen(directory);
  try {
    const log = await openLog(directory, 'agent.log');
    try {
      const [program = '', ...rest] = options.command;
      const child = spawn(program, rest, {
        env: { ...options.environment },
        detached: true,
        stdio: [
          'ignore',
          'ignore',
          log.fd,
          socket.fd,
          ...Array<'pipe'>(options.pipes).fill('pipe'),
        ],
        ...(workingDirectory !== undefined && { cwd: workingDirectory }),
      });
      const exited = untilExit(child, directory);
      child.unref();
      await once(child, 'spawn');
      const pipes = child.stdio.slice(FIRST_PIPE_FD).filter((pipe) => pipe instanceof Socket);
      const { publish, discard } = socket;
      return { pid: child.pid ?? 0, pipes, exited, publish, discard };
    } finally {
      await log.close();
    }
  } catch (error) {
    socket.discard();
    throw error;
  }
}

function untilExit(child: ChildProcess, directory: string): Promise<BoxExit> {
  return new Promise((resolve) => {
    const finish = (exitCode: number | null, signal: string | null) => {
      void readTail(directory, 'agent.log').then((stderr) => resolve({ exitCode, signal, stderr }));
    };
    child.once('exit', finish);
    child.once('error', () => finish(null, null));
  });
}
