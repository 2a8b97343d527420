import { execFile } from 'node:child_process';
import { readFile, realpath, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { AGENT_NODE_OPTIONS, type AgentConfig, PROJECT_PATH } from '../agent/config.ts';
import { untilAborted } from '../core/abort.ts';
import { DomainError } from '../core/domain-error.ts';
import { inParallel } from '../core/in-parallel.ts';
import { type AgentProgram, checkReadable } from './agent-program.ts';
import { AgentSockets } from './agent-socket.ts';
import { boxFolders, prepareFolders } from './box-directory.ts';
import {
  boxMarker,
  captureHandle,
  handledProcesses,
  keepHandle,
  MARKER_VARIABLE,
} from './box-handle.ts';
import { openLog, readTail, trimLog } from './box-log.ts';
import { chooseStage, NETWORK_READY_FD, stagedMounts, stageTable, wrap } from './box-wrapper.ts';
import {
  AGENT_FILE,
  BOX_PATH,
  type BubblewrapFeatures,
  boxMounts,
  bubblewrapArguments,
  PROGRAM_ROOT,
} from './bubblewrap-arguments.ts';
import { BOX_USER, etcFiles, sharedEtc, writeEtc } from './bubblewrap-etc.ts';
import { explainFailure, readHostFacts } from './bubblewrap-failure.ts';
import type { Box, BoxReference, BoxSpec, Driver, Egress, Endpoint } from './driver.ts';
import { endByFirst, endProcesses } from './end-processes.ts';
import { FIRST_PIPE_FD, type Launched, LISTEN_FD, launch } from './launch.ts';
import { startNat, unreachableAddresses } from './nat-network.ts';
import { probeBox } from './probe-box.ts';

export type BubblewrapDriverOptions = {
  readonly program: AgentProgram;
  /** What {@link Driver.verify} tries. */
  readonly egress: Egress;
};

/** Pipes of a box, in the order of their descriptors; the later two with a network only. */
const INFO_FD = FIRST_PIPE_FD;
const SYNC_FD = NETWORK_READY_FD + 1;
const NAT_PIPES = 3;
/**
 * Host uid of the box that is tried at the start: below the default range of sandboxes, and another one
 * for each of several gateways that start at once, as all processes of it are ended.
 */
const PROBE_UID = 69_000 + (process.pid % 1_000);
/** The programs that find themselves on the host; nothing else of its environment is passed on. */
const HOST_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const isRoot = process.getuid?.() === 0;

/**
 * Boxes of Linux namespaces, made by bubblewrap. Code in one sees its own files, processes and
 * network, has no capability, and, when this process is root, a host uid of its own.
 */
export class BubblewrapDriver implements Driver {
  readonly name = 'bubblewrap';
  readonly isolated = true;
  readonly #options: BubblewrapDriverOptions;
  readonly #sockets = new AgentSockets();
  /** What the installed bubblewrap can do; asked once it answered. */
  #features: BubblewrapFeatures | undefined;

  constructor(options: BubblewrapDriverOptions) {
    this.#options = options;
  }

  async verify(signal: AbortSignal): Promise<void> {
    const { program, egress } = this.#options;
    if (isRoot) await checkReadable(program);
    try {
      await probeBox(
        {
          program,
          egress,
          start: (spec, probe, limit) => this.#start(spec, probe, limit),
          destroy: (box) => this.destroy(box),
          ...(isRoot && { uid: PROBE_UID }),
        },
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof DomainError) throw error;
      throw explainFailure(error instanceof Error ? error.message : String(error), readHostFacts());
    }
  }

  start(spec: BoxSpec, signal: AbortSignal): Promise<Box> {
    return this.#start(spec, this.#options.program, signal);
  }

  endpoint(directory: string): Endpoint {
    return { socketPath: this.#sockets.path(directory) };
  }

  async tend(directory: string): Promise<void> {
    await trimLog(directory, 'agent.log');
    await trimLog(directory, 'network.log');
  }

  async destroy({ directory, handle, uid }: BoxReference): Promise<void> {
    const processes = await handledProcesses(directory, handle);
    await endByFirst(processes);
    await endProcesses({
      processes,
      marker: `${MARKER_VARIABLE}=${boxMarker(directory)}`,
      ...(isRoot && uid !== undefined && { uid }),
    });
  }

  close(): void {
    this.#sockets.close();
  }

  async #start(spec: BoxSpec, program: AgentProgram, signal: AbortSignal): Promise<Box> {
    signal.throwIfAborted();
    checkUid(spec.uid);
    const { directory } = spec;
    const environment = { PATH: HOST_PATH, [MARKER_VARIABLE]: boxMarker(directory) };
    const command = await this.#command(spec, program);
    const launched = await launch({
      ...{ directory, command, environment, pipes: spec.egress === 'nat' ? NAT_PIPES : 1 },
      sockets: this.#sockets,
    });
    try {
      const pids = await untilAborted(settle(launched, spec, environment, signal), signal);
      const handle = await captureHandle(pids);
      await keepHandle(directory, handle);
      launched.publish();
      return { endpoint: this.endpoint(directory), handle, exited: launched.exited };
    } catch (error) {
      launched.discard();
      // By name: in the moment in which a process becomes another program it carries no marker.
      await this.destroy({ ...spec, handle: await captureHandle([launched.pid]) });
      throw error;
    } finally {
      for (const pipe of launched.pipes) pipe.destroy();
    }
  }

  async #command(spec: BoxSpec, program: AgentProgram): Promise<string[]> {
    const { uid, egress, sandboxId } = spec;
    const directory = await realpath(spec.directory);
    const folders = boxFolders(directory);
    const etc = join(directory, 'etc');
    const mounts = boxMounts({ folders, program, etc });
    const stage = uid === undefined ? undefined : chooseStage(mounts);
    const table = join(directory, 'mounts');
    const ownEtc = await etcFiles({ hostname: sandboxId, egress });
    const [features, shared, openFiles] = await inParallel([
      Promise.resolve(this.#features ?? readFeatures()),
      sharedEtc(),
      hardLimitOfOpenFiles(),
      prepareFolders(folders, uid),
      writeEtc(etc, ownEtc),
      ...(stage === undefined ? [] : [writeFile(table, stageTable(mounts, stage))]),
    ]);
    this.#features = features;
    const inner = bubblewrapArguments({
      features,
      hostname: sandboxId,
      mounts: stage === undefined ? mounts : stagedMounts(mounts, stage),
      ownEtc: Object.keys(ownEtc),
      sharedEtc: shared,
      unshareNet: egress === 'none',
      environment: BOX_ENVIRONMENT,
      infoFd: INFO_FD,
      ...(egress === 'nat' && { syncFd: SYNC_FD }),
      command: [
        `${PROGRAM_ROOT}/bin/node`,
        ...AGENT_NODE_OPTIONS,
        AGENT_FILE,
        JSON.stringify(agentConfig(spec)),
      ],
    });
    return wrap(inner, {
      openFiles,
      ...(uid !== undefined && { uid }),
      ...(stage !== undefined && { stageFile: table }),
      ...(egress === 'nat' && { unreachable: unreachableAddresses() }),
    });
  }
}

/** The whole environment of programs in a box. */
const BOX_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: BOX_PATH,
  HOME: BOX_USER.home,
  USER: BOX_USER.name,
  LOGNAME: BOX_USER.name,
  LANG: 'C.UTF-8',
};

function agentConfig({ agent, egress }: BoxSpec): AgentConfig {
  return {
    ...agent,
    listenFd: LISTEN_FD,
    projectDirectory: PROJECT_PATH,
    homeDirectory: BOX_USER.home,
    shellEnvironment: BOX_ENVIRONMENT,
    ownsNetwork: egress !== 'host',
    processMark: '',
  };
}

/**
 * Waits until the box is made and its network is there. Gives the pids that stand for it; first the
 * one whose end is the end of all.
 */
async function settle(
  launched: Launched,
  spec: BoxSpec,
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<number[]> {
  const [info, networkReady, lifeline] = launched.pipes;
  if (!info) throw new Error('the box has no pipe');
  const pids = [launched.pid];
  if (networkReady && lifeline) {
    if ((await text(networkReady)) === '') throw await startFailure(launched);
    pids.push(await connectBox({ launched, spec, environment, lifeline, signal }));
  }
  return [await readFirstPid(launched, info), ...pids];
}

/** Gives the box its way out. Resolves with the pid of the program that is it. */
async function connectBox(options: {
  readonly launched: Launched;
  readonly spec: BoxSpec;
  readonly environment: Readonly<Record<string, string>>;
  readonly lifeline: Socket;
  readonly signal: AbortSignal;
}): Promise<number> {
  const { launched, spec, environment, lifeline, signal } = options;
  const log = await openLog(spec.directory, 'network.log');
  const hasUserNamespace = spec.uid === undefined;
  try {
    return await startNat(
      { pid: launched.pid, hasUserNamespace, lifeline, environment, log },
      signal,
    );
  } catch (error) {
    signal.throwIfAborted();
    return await networkFailure(spec.directory, error);
  } finally {
    await log.close();
  }
}

async function readFirstPid(launched: Launched, info: Socket): Promise<number> {
  const pid = /"child-pid":\s*(\d+)/.exec(await text(info))?.[1];
  if (pid === undefined) throw await startFailure(launched);
  return Number(pid);
}

async function startFailure(launched: Launched): Promise<DomainError> {
  const { stderr } = await launched.exited;
  return explainFailure(stderr, readHostFacts());
}

async function networkFailure(directory: string, error: unknown): Promise<never> {
  const said = await readTail(directory, 'network.log');
  const message = error instanceof Error ? error.message : String(error);
  throw explainFailure(`${message}\n${said}`, readHostFacts());
}

/** A box of root's own uid could read what root can: refused, whatever the caller's settings say. */
function checkUid(uid: number | undefined): void {
  if (isRoot && (uid === undefined || uid < 1000)) {
    throw new DomainError(
      'BAD_SETTING',
      'COMPUTESDK_UID_RANGE: a box needs a host uid of its own, 1000 or more',
    );
  }
  if (!isRoot && uid !== undefined) throw new Error('only root gives boxes a uid of their own');
}

async function readFeatures(): Promise<BubblewrapFeatures> {
  const { stdout } = await promisify(execFile)('bwrap', ['--help'], { env: { PATH: HOST_PATH } });
  return {
    disableUserns: stdout.includes('--disable-userns'),
    tmpfsSize: stdout.includes('--size'),
  };
}

async function hardLimitOfOpenFiles(): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'utf8');
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  return hard === 'unlimited' || hard === undefined ? Number.MAX_SAFE_INTEGER : Number(hard);
}
