import type { DescService } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import {
  type Health,
  HealthCheckResponse_ServingStatus as Status,
} from '../../../gen/grpc/health/v1/health_pb.ts';
import { DomainError } from '../../core/domain-error.ts';
import { Quota } from '../../core/quota.ts';

/** The most Watch streams at a time. They need no credential. */
const MAX_WATCHERS = 64;

export type HealthServiceOptions = {
  /** The services whose state is told. All of them share the server's. */
  readonly services: readonly DescService[];
  /** Aborts when the gateway begins to shut down and takes no more calls. */
  readonly stopping: AbortSignal;
};

/** Serves `grpc.health.v1.Health`. */
export function healthService(options: HealthServiceOptions): ServiceImpl<typeof Health> {
  const names = new Set(['', ...options.services.map((service) => service.typeName)]);
  const watchers = new Quota(MAX_WATCHERS, 'health watchers');
  const status = () => (options.stopping.aborted ? Status.NOT_SERVING : Status.SERVING);
  return {
    check(request) {
      if (names.has(request.service)) return { status: status() };
      throw new DomainError('NOT_FOUND', 'service: no service of this name is served here', {
        field: 'service',
      });
    },
    list() {
      return {
        statuses: Object.fromEntries([...names].map((name) => [name, { status: status() }])),
      };
    },
    async *watch(request, context) {
      // The signal aborts at every end, also where nobody asks this generator to go on.
      context.signal.addEventListener('abort', watchers.acquire(), { once: true });
      const isKnown = names.has(request.service);
      yield { status: isKnown ? status() : Status.SERVICE_UNKNOWN };
      await ended(options.stopping, context);
      if (isKnown && !context.signal.aborted) yield { status: status() };
    },
  };
}

/** Resolves when the server begins to stop or the client leaves. */
function ended(stopping: AbortSignal, context: HandlerContext): Promise<void> {
  const signals = [stopping, context.signal];
  return new Promise((resolve) => {
    const end = () => {
      for (const signal of signals) signal.removeEventListener('abort', end);
      resolve();
    };
    for (const signal of signals) signal.addEventListener('abort', end);
    if (signals.some((signal) => signal.aborted)) end();
  });
}
