import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { AgentService } from '../../../../gen/computesdk/agent/v1/agent_service_pb.ts';
import { SignalService } from '../../../../gen/computesdk/v1/signal_service_pb.ts';
import { TerminalService } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { WatcherService } from '../../../../gen/computesdk/v1/watcher_service_pb.ts';
import { AGENT_NODE_OPTIONS, type AgentConfig } from '../../../../server/agent/config.ts';
import { newId } from '../../../../server/core/id.ts';
import { type Principal, SCOPES } from '../../../../server/core/principal.ts';
import { principalToHeaders } from '../../../../server/rpc/principal-headers.ts';
import { actor } from './actors.ts';

const MAIN = new URL('../../../../server/agent/main.ts', import.meta.url).pathname;

/** Who calls, unless a test says otherwise. */
export const ALICE: Principal = { id: 'tok-alice', ...actor('alice'), scopes: [...SCOPES] };

/** A real agent in a process of its own, listening on a Unix socket that it inherited. */
export class AgentProcess {
  readonly child: ChildProcess;
  readonly config: AgentConfig;
  readonly directory: string;
  readonly socketPath: string;
  /** What it wrote to standard error. */
  stderr = '';
  readonly #connections: Agent[] = [];

  private constructor(child: ChildProcess, config: AgentConfig, directory: string) {
    this.child = child;
    this.config = config;
    this.directory = directory;
    this.socketPath = join(directory, 'agent.sock');
    child.stderr?.on('data', (data: Buffer) => {
      this.stderr += data;
    });
  }

  static async start(overrides: Partial<AgentConfig> = {}): Promise<AgentProcess> {
    const directory = mkdtempSync(join(tmpdir(), 'agent-'));
    const bootId = newId('bot');
    const config: AgentConfig = {
      sandboxId: newId('sbx'),
      bootId,
      previousBootIds: [],
      expiresAt: Date.now() + 600_000,
      graceMs: 600_000,
      logLevel: 'info',
      listenFd: 3,
      projectDirectory: directory,
      homeDirectory: directory,
      shellEnvironment: {
        ...{ PATH: '/usr/local/bin:/usr/bin:/bin', PS1: '$ ', LANG: 'C.UTF-8' },
        COMPUTESDK_BOX: bootId,
      },
      // The network is the machine's, as under the process driver.
      ownsNetwork: false,
      processMark: `COMPUTESDK_BOX=${bootId}`,
      ...overrides,
    };
    const server = createServer();
    server.listen(join(directory, 'draft.sock'));
    await once(server, 'listening');
    // Node.js has no public way to name the descriptor of a listening socket.
    const fd: number = Reflect.get(Reflect.get(server, '_handle'), 'fd');
    const child = spawn(process.execPath, [...AGENT_NODE_OPTIONS, MAIN, JSON.stringify(config)], {
      stdio: ['ignore', 'inherit', 'pipe', fd],
      env: { AGENT_SECRET: 'must not reach a shell' },
    });
    const agent = new AgentProcess(child, config, directory);
    // Closing removes the name it listened on, so it gets another one first.
    renameSync(join(directory, 'draft.sock'), agent.socketPath);
    server.close();
    return agent;
  }

  /** A terminal client that calls as this principal. */
  terminals(principal = ALICE): Client<typeof TerminalService> {
    return createClient(TerminalService, this.#transport(principal));
  }

  /** A client of the signals that calls as this principal. */
  signals(principal = ALICE): Client<typeof SignalService> {
    return createClient(SignalService, this.#transport(principal));
  }

  /** A client of the watchers that calls as this principal. */
  watchers(principal = ALICE): Client<typeof WatcherService> {
    return createClient(WatcherService, this.#transport(principal));
  }

  /** The gateway's own client. */
  supervisor(): Client<typeof AgentService> {
    return createClient(AgentService, this.#transport(ALICE));
  }

  /** Cuts every connection that clients of this object have. */
  cut(): void {
    for (const connections of this.#connections) {
      const sockets = Object.values({ ...connections.sockets }).flatMap((list) => list ?? []);
      for (const socket of sockets) socket.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connections of this.#connections) connections.destroy();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGTERM');
      await once(this.child, 'exit');
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  #transport(principal: Principal): Transport {
    const connections = new Agent({ keepAlive: true, maxSockets: 256 });
    this.#connections.push(connections);
    return createConnectTransport({
      httpVersion: '1.1',
      baseUrl: 'http://agent.internal',
      useBinaryFormat: true,
      nodeOptions: { agent: connections, socketPath: this.socketPath },
      interceptors: [
        (next) => (request) => {
          for (const [name, value] of Object.entries(principalToHeaders(principal))) {
            request.header.set(name, value);
          }
          return next(request);
        },
      ],
    });
  }
}
