import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { PROGRAM_NAME } from '../agent/code-cache.ts';
import { AGENT_NODE_OPTIONS, type AgentConfig } from '../agent/config.ts';
import { DomainError } from '../core/domain-error.ts';
import type { AgentProgram } from './agent-program.ts';
import { AgentSockets } from './agent-socket.ts';
import { type BoxFolders, boxFolders, prepareFolders } from './box-directory.ts';
import {
  boxMarker,
  captureHandle,
  handledProcesses,
  keepHandle,
  MARKER_VARIABLE,
} from './box-handle.ts';
import { trimLog } from './box-log.ts';
import type { Box, BoxReference, BoxSpec, Driver, Endpoint } from './driver.ts';
import { endProcesses } from './end-processes.ts';
import { LISTEN_FD, launch } from './launch.ts';
import { probeBox } from './probe-box.ts';

export type ProcessDriverOptions = {
  readonly program: AgentProgram;
};

/** A fixed search path: nothing of this process's environment reaches a program. */
const PROGRAM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** No core dumps: they would hold whatever the program held. */
const START_SCRIPT = 'ulimit -c 0; exec "$@"';

/**
 * Agents as plain processes of this process's own user. Nothing is protected: code in such a box can
 * do what the gateway can. For a developer's own code on a machine without namespaces.
 */
export class ProcessDriver implements Driver {
  readonly name = 'process';
  readonly isolated = false;
  readonly #options: ProcessDriverOptions;
  readonly #sockets = new AgentSockets();

  constructor(options: ProcessDriverOptions) {
    this.#options = options;
  }

  async verify(signal: AbortSignal): Promise<void> {
    if (process.platform !== 'linux') {
      throw new DomainError(
        'DRIVER_UNAVAILABLE',
        'process: sandboxes need Linux (/proc); run the gateway in a Linux virtual machine or container',
      );
    }
    try {
      await probeBox(
        {
          program: this.#options.program,
          egress: 'host',
          start: (spec, probe) => this.#start(spec, probe),
          destroy: (box) => this.destroy(box),
        },
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof DomainError) throw error;
      const said = error instanceof Error ? error.message : String(error);
      throw new DomainError(
        'DRIVER_UNAVAILABLE',
        `process: an agent cannot be started here (${said})`,
      );
    }
  }

  async start(spec: BoxSpec, signal: AbortSignal): Promise<Box> {
    signal.throwIfAborted();
    return this.#start(spec, this.#options.program);
  }

  endpoint(directory: string): Endpoint {
    return { socketPath: this.#sockets.path(directory) };
  }

  async tend(directory: string): Promise<void> {
    await trimLog(directory, 'agent.log');
  }

  async destroy({ directory, handle }: BoxReference): Promise<void> {
    await endProcesses({
      processes: await handledProcesses(directory, handle),
      marker: `${MARKER_VARIABLE}=${boxMarker(directory)}`,
    });
  }

  close(): void {
    this.#sockets.close();
  }

  async #start(spec: BoxSpec, program: AgentProgram): Promise<Box> {
    const directory = await realpath(spec.directory);
    const folders = boxFolders(directory);
    await prepareFolders(folders, undefined);
    const environment = boxEnvironment(folders, spec.directory);
    const config = JSON.stringify(agentConfig(spec, folders, environment));
    const launched = await launch({
      directory: spec.directory,
      sockets: this.#sockets,
      command: [
        '/bin/sh',
        '-c',
        START_SCRIPT,
        'sh',
        program.node,
        ...AGENT_NODE_OPTIONS,
        join(program.directory, PROGRAM_NAME),
        config,
      ],
      environment,
      workingDirectory: folders.project,
      pipes: 0,
    });
    try {
      const handle = await captureHandle([launched.pid]);
      await keepHandle(directory, handle);
      launched.publish();
      return { endpoint: this.endpoint(spec.directory), handle, exited: launched.exited };
    } catch (error) {
      launched.discard();
      const handle = await captureHandle([launched.pid]);
      await this.destroy({ directory: spec.directory, handle });
      throw error;
    }
  }
}

function boxEnvironment({ home }: BoxFolders, directory: string): Record<string, string> {
  return {
    PATH: PROGRAM_PATH,
    HOME: home,
    LANG: 'C.UTF-8',
    // Programs inherit it, so that those which left their parents behind are found again.
    [MARKER_VARIABLE]: boxMarker(directory),
  };
}

function agentConfig(
  { agent }: BoxSpec,
  folders: BoxFolders,
  shellEnvironment: Readonly<Record<string, string>>,
): AgentConfig {
  return {
    ...agent,
    listenFd: LISTEN_FD,
    projectDirectory: folders.project,
    homeDirectory: folders.home,
    shellEnvironment,
    ownsNetwork: false,
    processMark: `${MARKER_VARIABLE}=${shellEnvironment[MARKER_VARIABLE]}`,
  };
}
