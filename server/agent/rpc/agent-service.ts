import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type { AgentService } from '../../../gen/computesdk/agent/v1/agent_service_pb.ts';
import type { Clock } from '../../core/clock.ts';
import { deferred } from '../../core/deferred.ts';
import { invalidArgument } from '../../core/domain-error.ts';
import { AGENT_PROTOCOL_VERSION } from '../config.ts';
import type { Lifecycle } from '../lifecycle.ts';

export type AgentServiceOptions = {
  readonly sandboxId: string;
  readonly bootId: string;
  readonly clock: Clock;
  readonly lifecycle: Lifecycle;
  /** Ends every process in the box. */
  readonly endPrograms: () => Promise<void>;
  /** Ends the agent, once the calls that run were answered. */
  readonly exit: () => void;
  /** Called each time a gateway was sent the greeting. */
  readonly onGreeted: () => void;
};

const KEEP_ALIVE_MS = 5000;

/** Serves the gateway that looks after this agent. */
export function agentService(options: AgentServiceOptions): ServiceImpl<typeof AgentService> {
  return {
    supervise: (_request, context) => supervise(options, context),
    setExpiry({ expiresAt }) {
      if (!expiresAt) throw invalidArgument('expiresAt', 'is missing');
      options.lifecycle.setExpiry(timestampMs(expiresAt));
      return {};
    },
    async shutdown() {
      await options.endPrograms();
      options.exit();
      return {};
    },
  };
}

async function* supervise(
  { sandboxId, bootId, clock, lifecycle, onGreeted }: AgentServiceOptions,
  { signal }: HandlerContext,
) {
  const leave = lifecycle.greet();
  signal.addEventListener('abort', leave, { once: true });
  try {
    const hello = { sandboxId, bootId, protocolVersion: AGENT_PROTOCOL_VERSION };
    yield { event: { case: 'hello', value: hello } } as const;
    onGreeted();
    while (!signal.aborted) {
      await pause(clock, signal);
      if (!signal.aborted) yield { event: { case: 'keepAlive', value: {} } } as const;
    }
  } finally {
    signal.removeEventListener('abort', leave);
    leave();
  }
}

/** Resolves after the keep-alive interval, or when the signal aborts. */
async function pause(clock: Clock, signal: AbortSignal): Promise<void> {
  const done = deferred<void>();
  const timer = clock.setTimer(done.resolve, KEEP_ALIVE_MS);
  signal.addEventListener('abort', () => done.resolve(), { once: true });
  await done.promise;
  timer.clear();
}
