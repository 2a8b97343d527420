import type { ConnectRouter } from '@connectrpc/connect';
import { SignalService } from '../../gen/computesdk/v1/signal_service_pb.ts';
import { TerminalService } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { WatcherService } from '../../gen/computesdk/v1/watcher_service_pb.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/log.ts';
import { type HttpHandler, rpcHandler } from '../rpc/connect-node.ts';
import { type AgentConfig, PROJECT_PATH } from './config.ts';
import { closeInheritedDescriptors } from './descriptors.ts';
import type { CallLog } from './rpc/call-log.ts';
import { connectionValues } from './rpc/connection.ts';
import { acceptFrameLinks } from './rpc/frame-link.ts';
import { type AcceptUpgrade, withTunnels } from './rpc/port-tunnel.ts';
import { signalService } from './rpc/signal-service.ts';
import { terminalService } from './rpc/terminal-service.ts';
import { watcherService } from './rpc/watcher-service.ts';
import { BoxCommand } from './signal/box-command.ts';
import { readDiskRoom, readMemoryKills } from './signal/box-health.ts';
import { PortScanner } from './signal/port-scanner.ts';
import { SignalHub } from './signal/signal-hub.ts';
import { socketCounter } from './signal/socket-count.ts';
import { procOwners } from './signal/socket-owners.ts';
import { readListeningSockets } from './signal/socket-table.ts';
import { TerminalRegistry } from './terminal/registry.ts';
import { WatcherRegistry } from './watcher/registry.ts';
import { WatchThread } from './watcher/watch-thread.ts';

/** All that an agent does for those who use the sandbox. */
export type SandboxServices = {
  /** Answers calls over HTTP. */
  readonly handler: HttpHandler;
  /** Takes connections for calls in frames and for ports. */
  readonly onUpgrade: AcceptUpgrade;
  /** Ends every process in the box. */
  readonly endPrograms: () => Promise<void>;
  /** Ends them, and all else. */
  readonly close: () => Promise<void>;
};

export type SandboxServicesOptions = {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly calls: CallLog;
  readonly shutdownSignal: AbortSignal;
};

/** Begins to look after the sandbox's ports and health, and serves its terminals, watchers and signals. */
export function openSandboxServices(options: SandboxServicesOptions): SandboxServices {
  const { config, clock, logger, calls, shutdownSignal } = options;
  const { bootId, previousBootIds, projectDirectory } = config;
  closeInheritedDescriptors([config.listenFd]);
  const paths = { projectPath: PROJECT_PATH, projectDirectory };
  const signals = openSignals(options);
  const command = openCommand(options, signals);
  const terminals = new TerminalRegistry({
    ...{ clock, bootId, previousBootIds },
    onActivity: signals.onActivity,
    surroundings: { ...paths, environment: environment(config, command) },
  });
  const watchers = new WatcherRegistry({
    ...{ clock, bootId, previousBootIds, paths },
    openTree: new WatchThread().open,
    onFailed: (path) =>
      signals.raiseError({ message: `the watcher of ${path} failed`, source: 'watcher' }),
  });
  const routes = (router: ConnectRouter) => {
    router.service(TerminalService, terminalService(terminals));
    router.service(SignalService, signalService(signals));
    router.service(WatcherService, watcherService(watchers));
  };
  const endPrograms = () => {
    watchers.close();
    return terminals.close();
  };
  return {
    handler: rpcHandler({
      ...{ routes, shutdownSignal, fallback: refuse },
      interceptors: [calls.interceptor()],
      contextValues: connectionValues,
    }),
    onUpgrade: withTunnels(acceptFrameLinks({ routes, calls, shutdownSignal, logger })),
    endPrograms,
    close: () => {
      signals.close();
      command?.close();
      return endPrograms();
    },
  };
}

function openSignals({ config, clock, logger }: SandboxServicesOptions): SignalHub {
  const ports = new PortScanner({
    readSockets: readListeningSockets,
    owners: procOwners(config.processMark),
    ownsNetwork: config.ownsNetwork,
  });
  return new SignalHub({
    ...{ clock, logger, bootId: config.bootId },
    senses: {
      scan: () => ports.scan(),
      count: socketCounter(),
      diskRoom: () => readDiskRoom(config.projectDirectory),
      memoryKills: readMemoryKills,
    },
  });
}

/** The command in the box is a convenience: whatever keeps it from being made is no reason to fail. */
function openCommand(
  { config, clock, logger }: SandboxServicesOptions,
  signals: SignalHub,
): BoxCommand | undefined {
  const onFailed = (error: unknown) => logger.warn('programs cannot emit signals', { error });
  try {
    return BoxCommand.open({
      homeDirectory: config.homeDirectory,
      node: process.execPath,
      emit: (signal) => signals.emitFromBox(signal),
      ...{ clock, onFailed },
    });
  } catch (error) {
    onFailed(error);
    return undefined;
  }
}

/** The whole environment of programs, before what their terminals add. */
function environment(
  { shellEnvironment, homeDirectory }: AgentConfig,
  command: BoxCommand | undefined,
): Record<string, string> {
  const { PATH = '', ...others } = shellEnvironment;
  const paths = command ? [PATH, command.binDirectory] : [PATH];
  return { ...others, PATH: paths.join(':'), HOME: homeDirectory };
}

const refuse: HttpHandler = (_request, response) => {
  response.statusCode = 404;
  response.setHeader('Content-Type', 'application/json');
  response.end('{"code":"unimplemented","message":"there is no such method"}');
};
