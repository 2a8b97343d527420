import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { processesOf } from '../tooling/process-search.ts';
import { nodePath, repositoryRoot } from './paths.ts';
import { listProcesses, readProcess } from './processes.ts';
import { UidRange } from './uid-range.ts';
import { until, within } from './until.ts';

export type GatewayOptions = {
  /** Settings beside those that every test gateway gets. */
  readonly env?: Readonly<Record<string, string>>;
  /** A copy of the repository to run instead of this one. */
  readonly root?: string;
  /** A command that ends by executing what follows it, which then is the gateway. */
  readonly prefix?: readonly string[];
  /** An existing data directory, which is then not removed. */
  readonly dataDirectory?: string;
  /** Gets all that it writes, of which {@link TestGateway.output} is only the end. */
  readonly onOutput?: (text: string) => void;
};

export type GatewayExit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** Names the gateway in one file, where a run made one. Without it gateways start from their sources. */
export const GATEWAY_VARIABLE = 'COMPUTESDK_TEST_GATEWAY';

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** Starting takes a driver's trial run; on a busy machine that is slow. */
const READY_MS = 30_000;
const STOP_MS = 20_000;
/** The end of the output that is kept for error messages. */
const MAX_OUTPUT_CHARS = 64 * 1024;
const READY_LINE = /^computesdk gateway ready at (\S+)$/m;

/** A gateway in a process of its own, with a data directory of its own, on a free port. */
export class TestGateway implements AsyncDisposable {
  readonly apiKey: string;
  readonly dataDirectory: string;
  /** The host uids of its boxes, when it runs as root. */
  readonly uids: UidRange;
  readonly #options: GatewayOptions;
  #child: Child | undefined;
  #exit: Promise<GatewayExit> | undefined;
  #output = '';
  #url = '';

  private constructor(options: GatewayOptions, uids: UidRange) {
    this.#options = options;
    this.uids = uids;
    this.apiKey = options.env?.['COMPUTESDK_API_KEY'] ?? randomBytes(24).toString('base64url');
    this.dataDirectory =
      options.dataDirectory ?? mkdtempSync(join(tmpdir(), 'computesdk-gateway-'));
  }

  /** Resolves when the gateway has said that it is ready. */
  static async start(options: GatewayOptions = {}): Promise<TestGateway> {
    const gateway = new TestGateway(options, await UidRange.take());
    try {
      await gateway.#launch('0');
    } catch (error) {
      await gateway.#clean();
      throw error;
    }
    return gateway;
  }

  /** As the ready line names it. */
  get url(): string {
    return this.#url;
  }

  get port(): number {
    return Number(new URL(this.#url).port);
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the gateway does not run');
    return pid;
  }

  /** The end of what it wrote, standard error included. */
  get output(): string {
    return this.#output;
  }

  /** Resolves when the process has ended. */
  get exited(): Promise<GatewayExit> {
    return this.#exit ?? Promise.resolve({ code: null, signal: null });
  }

  /** Sends a signal and waits for the end. Agents are left as the signal leaves them. */
  async kill(signal: NodeJS.Signals): Promise<GatewayExit> {
    this.#child?.kill(signal);
    return await within(this.exited, {
      what: `the gateway to end by ${signal}\n${this.#output}`,
      withinMs: STOP_MS,
    });
  }

  /** Starts it again, on the same port and data directory. */
  async restart(): Promise<void> {
    await this.#launch(String(this.port));
  }

  /** The agents' processes: every process in a box of this gateway's. */
  agentPids(sandboxId: string): number[] {
    const isAgent = (command: string) =>
      /(^|\/)node\b.*main\.m?js/.test(command) && command.includes(sandboxId);
    const found = listProcesses().filter(
      ({ command }) => isAgent(command) && !command.includes('bwrap'),
    );
    return found.map(({ pid }) => pid);
  }

  /** Ends it as Ctrl-C does and throws if anything is left: a process, or a listening port. */
  async stop(): Promise<void> {
    try {
      if (this.#child && this.#child.exitCode === null && this.#child.signalCode === null)
        await this.kill('SIGINT');
      await until(() => this.leftovers().length === 0, {
        what: 'its processes to end',
        withinMs: 5_000,
      }).catch(() => undefined);
      const left = this.leftovers().map(({ pid, command }) => `${pid} ${command}`);
      if (left.length > 0)
        throw new Error(`the gateway left processes behind:\n${left.join('\n')}\n${this.#output}`);
    } finally {
      await this.#clean();
    }
  }

  /** As {@link stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Ends everything of it by force. For gateways that a test has treated so that they cannot clean up. */
  async destroy(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.exited;
    await this.#clean();
  }

  /** Live processes of this gateway's boxes, and the gateway itself. */
  leftovers(): { readonly pid: number; readonly command: string }[] {
    const { first, last } = this.uids;
    const byUid = listProcesses().filter(
      ({ uid, state }) => uid >= first && uid <= last && state !== 'Z',
    );
    const byDirectory = processesOf(this.dataDirectory);
    return [...new Map([...byUid, ...byDirectory].map((info) => [info.pid, info])).values()];
  }

  async #launch(port: string): Promise<void> {
    const { root, prefix = [] } = this.#options;
    const bundle = root === undefined && process.env[GATEWAY_VARIABLE];
    const command = [...prefix, nodePath, bundle || 'server/gateway/main.ts'];
    const child: Child = spawn(command[0] ?? nodePath, command.slice(1), {
      cwd: root ?? repositoryRoot,
      env: this.#environment(port),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#output = '';
    this.#exit = once(child, 'close').then(([code, signal]) => ({ code, signal }));
    const ready = new Promise<string>((resolve) => {
      const onText = (text: string) => {
        this.#options.onOutput?.(text);
        this.#output = (this.#output + text).slice(-MAX_OUTPUT_CHARS);
        const match = READY_LINE.exec(this.#output);
        if (match?.[1]) resolve(match[1]);
      };
      child.stdout.setEncoding('utf8').on('data', onText);
      child.stderr.setEncoding('utf8').on('data', onText);
    });
    const ended = this.#exit.then(({ code, signal }) => {
      throw new Error(
        `the gateway ended (${code ?? signal}) before it was ready:\n${this.#output}`,
      );
    });
    ended.catch(() => undefined);
    this.#url = await within(Promise.race([ready, ended]), {
      what: 'the ready line',
      withinMs: READY_MS,
    });
  }

  #environment(port: string): NodeJS.ProcessEnv {
    return {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      PORT: port,
      COMPUTESDK_DATA_DIR: this.dataDirectory,
      COMPUTESDK_API_KEY: this.apiKey,
      COMPUTESDK_UID_RANGE: `${this.uids.first}-${this.uids.last}`,
      ...this.#options.env,
    };
  }

  async #clean(): Promise<void> {
    await this.#cleanDirectory();
    this.uids.release();
  }

  async #cleanDirectory(): Promise<void> {
    // A directory that was given may be another gateway's, whose processes are none of ours.
    if (this.#options.dataDirectory !== undefined) return;
    for (const { pid } of this.leftovers()) {
      if (readProcess(pid)) kill(pid);
    }
    await rm(this.dataDirectory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended in the meantime.
  }
}
