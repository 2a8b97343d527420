import { writeSync } from 'node:fs';
import { createServer } from 'node:http';
import type { ConnectRouter } from '@connectrpc/connect';
import { AgentService } from '../../gen/computesdk/agent/v1/agent_service_pb.ts';
import { SignalService } from '../../gen/computesdk/v1/signal_service_pb.ts';
import { TerminalService } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { WatcherService } from '../../gen/computesdk/v1/watcher_service_pb.ts';
import { systemClock } from '../core/clock.ts';
import { jsonLogger } from '../core/log.ts';
import { rpcHandler } from '../rpc/connect-node.ts';
import { PROJECT_PATH, parseAgentConfig } from './config.ts';
import { closeInheritedDescriptors } from './descriptors.ts';
import { keepHeapSmall } from './heap.ts';
import { Lifecycle } from './lifecycle.ts';
import { agentService } from './rpc/agent-service.ts';
import { CallLog } from './rpc/call-log.ts';
import { connectionValues } from './rpc/connection.ts';
import { acceptFrameLinks } from './rpc/frame-link.ts';
import { withTunnels } from './rpc/port-tunnel.ts';
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

/** Headers of a request, in bytes. */
const MAX_HEADER_BYTES = 16 * 1024;
/** A request must have arrived by then; the gateway sends what it has already. Answers may take for ever. */
const REQUEST_TIMEOUT_MS = 30_000;
/** An unused connection of the gateway is kept for this long. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** After this long the start is over, in milliseconds, with all of Node.js that it needs. */
const STARTED_MS = 200;
/** How long calls may take to end before the agent goes. */
const EXIT_MS = 1000;

/** Whether the bundle was loaded with its code cache. Set by the program that loads it. */
declare const CODE_CACHE: string | undefined;

const config = parseAgentConfig(process.argv[2] ?? '');
closeInheritedDescriptors([config.listenFd]);

const clock = systemClock;
const logger = jsonLogger({ write: writeLine, now: clock.now, level: config.logLevel });
const ending = new AbortController();
const { previousBootIds, projectDirectory } = config;
const paths = { projectPath: PROJECT_PATH, projectDirectory };
const ports = new PortScanner({
  readSockets: readListeningSockets,
  owners: procOwners(config.processMark),
  ownsNetwork: config.ownsNetwork,
});
const signals = new SignalHub({
  ...{ clock, logger, bootId: config.bootId },
  senses: {
    scan: () => ports.scan(),
    count: socketCounter(),
    diskRoom: () => readDiskRoom(config.projectDirectory),
    memoryKills: readMemoryKills,
  },
});
const command = openCommand();
const terminals = new TerminalRegistry({
  clock,
  onActivity: signals.onActivity,
  ...{ bootId: config.bootId, previousBootIds },
  surroundings: {
    ...paths,
    environment: environment(),
  },
});
const watchers = new WatcherRegistry({
  ...{ clock, bootId: config.bootId, previousBootIds, paths },
  openTree: new WatchThread().open,
  onFailed: (path) =>
    signals.raiseError({ message: `the watcher of ${path} failed`, source: 'watcher' }),
});
const lifecycle = new Lifecycle({
  clock,
  expiresAt: config.expiresAt,
  graceMs: config.graceMs,
  onEnd: (why) => void end(why),
});
/** What clients may call. */
const routes = (router: ConnectRouter) => {
  router.service(TerminalService, terminalService(terminals));
  router.service(SignalService, signalService(signals));
  router.service(WatcherService, watcherService(watchers));
};
const calls = new CallLog(logger, clock);
const handler = rpcHandler({
  routes: (router) => {
    routes(router);
    const { sandboxId, bootId } = config;
    const endPrograms = () => {
      watchers.close();
      return terminals.close();
    };
    router.service(
      AgentService,
      agentService({ sandboxId, bootId, clock, lifecycle, endPrograms, exit }),
    );
  },
  interceptors: [calls.interceptor()],
  contextValues: connectionValues,
  shutdownSignal: ending.signal,
  fallback: (_request, response) => {
    response.statusCode = 404;
    response.setHeader('Content-Type', 'application/json');
    response.end('{"code":"unimplemented","message":"there is no such method"}');
  },
});
const server = createServer(
  {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  },
  handler,
);
server.on(
  'upgrade',
  withTunnels(acceptFrameLinks({ routes, calls, shutdownSignal: ending.signal, logger })),
);

process.on('SIGTERM', () => void end('SIGTERM'));
process.on('SIGINT', () => void end('SIGINT'));
// The gateway's terminal is not this process's concern, and its going must not end programs.
process.on('SIGHUP', () => {});
server.listen({ fd: config.listenFd }, () => {
  setTimeout(keepHeapSmall, STARTED_MS).unref();
  const codeCache = typeof CODE_CACHE === 'string' ? CODE_CACHE : 'none';
  logger.info('agent ready', { sandboxId: config.sandboxId, bootId: config.bootId, codeCache });
});

async function end(why: string): Promise<void> {
  logger.info('agent ends', { why });
  lifecycle.close();
  signals.close();
  command?.close();
  watchers.close();
  await terminals.close();
  exit();
}

/** Ends this process as soon as the calls that run are answered, and soon in any case. */
function exit(): void {
  setTimeout(leave, EXIT_MS).unref();
  server.close(leave);
  setImmediate(() => {
    ending.abort();
    server.closeIdleConnections();
  });
}

/**
 * Ends this process. Node.js waits for its own threads when it exits, and now and then for ever; there
 * is nothing to be saved here that it would wait for.
 */
function leave(): void {
  process.kill(process.pid, 'SIGKILL');
  // The first process of a box cannot kill itself.
  process.exit(0);
}

/** The command in the box is a convenience: whatever keeps it from being made is no reason to fail. */
function openCommand(): BoxCommand | undefined {
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
function environment(): Record<string, string> {
  const { PATH = '', ...others } = config.shellEnvironment;
  const paths = command ? [PATH, command.binDirectory] : [PATH];
  return { ...others, PATH: paths.join(':'), HOME: config.homeDirectory };
}

/** Where standard error is gone or full, the line is lost rather than the agent. */
function writeLine(line: string): void {
  try {
    writeSync(process.stderr.fd, line);
  } catch {}
}
