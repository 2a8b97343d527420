import { writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { AgentService } from '../../gen/computesdk/agent/v1/agent_service_pb.ts';
import { systemClock } from '../core/clock.ts';
import { jsonLogger } from '../core/log.ts';
import { rpcHandler } from '../rpc/connect-node.ts';
import { parseAgentConfig } from './config.ts';
import { keepHeapSmall } from './heap.ts';
import { Lifecycle } from './lifecycle.ts';
import { agentService } from './rpc/agent-service.ts';
import { CallLog } from './rpc/call-log.ts';
import type { SandboxServices } from './sandbox-services.ts';

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

/** Whether all bundles so far were loaded with their code caches. Set by the program that loads them. */
declare const CODE_CACHE: (() => 'used' | 'none') | undefined;

const config = parseAgentConfig(process.argv[2] ?? '');

const clock = systemClock;
const logger = jsonLogger({ write: writeLine, now: clock.now, level: config.logLevel });
const ending = new AbortController();
const calls = new CallLog(logger, clock);
const lifecycle = new Lifecycle({
  clock,
  expiresAt: config.expiresAt,
  graceMs: config.graceMs,
  onEnd: (why) => void end(why),
});
let services: Promise<SandboxServices> | undefined;
const { sandboxId, bootId } = config;
const handler = rpcHandler({
  routes: (router) => {
    const endPrograms = async () => (await services)?.endPrograms();
    router.service(
      AgentService,
      agentService({ sandboxId, bootId, clock, lifecycle, endPrograms, exit, onGreeted }),
    );
  },
  interceptors: [calls.interceptor()],
  shutdownSignal: ending.signal,
  fallback: (request, response) => {
    void openServices().then((opened) => {
      // Who left meanwhile is not noticed by the handler any more.
      if (!request.socket.destroyed) opened.handler(request, response);
    });
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
server.on('upgrade', (request, socket, head) => {
  // Without a listener, an error of a connection would end the process.
  socket.on('error', () => {});
  void openServices().then(({ onUpgrade }) => {
    if (!socket.destroyed) onUpgrade(request, socket, head);
  });
});

process.on('SIGTERM', () => void end('SIGTERM'));
process.on('SIGINT', () => void end('SIGINT'));
// The gateway's terminal is not this process's concern, and its going must not end programs.
process.on('SIGHUP', () => {});
server.listen({ fd: config.listenFd });
setTimeout(onStarted, STARTED_MS).unref();

/**
 * What clients may call. It takes a fifth as long as the start, and the gateway's greeting needs none of it: it
 * is loaded after that, while the gateway says that the sandbox runs, or at the first call.
 */
function openServices(): Promise<SandboxServices> {
  services ??= import('./sandbox-services.ts').then(({ openSandboxServices }) =>
    openSandboxServices({ config, clock, logger, calls, shutdownSignal: ending.signal }),
  );
  return services;
}

function onStarted(): void {
  keepHeapSmall();
  const codeCache = typeof CODE_CACHE === 'function' ? CODE_CACHE() : 'none';
  logger.info('agent started', { sandboxId, bootId, codeCache });
}

function onGreeted(): void {
  // When the greeting has been written.
  setImmediate(() => void openServices());
}

async function end(why: string): Promise<void> {
  logger.info('agent ends', { why });
  lifecycle.close();
  await (await services)?.close();
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

/** Where standard error is gone or full, the line is lost rather than the agent. */
function writeLine(line: string): void {
  try {
    writeSync(process.stderr.fd, line);
  } catch {}
}
