import type { DescMethod } from '@bufbuild/protobuf';
import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { Logger } from '../../core/log.ts';
import type { Caller } from '../auth/caller.ts';

/** Calls that come with every key and every piece of output. */
const FREQUENT: ReadonlySet<string> = new Set(['WriteTerminal', 'AcknowledgeTerminal']);

/** How a call into a sandbox came to its end. */
export type CallOutcome = 'ok' | 'failed' | 'client left' | 'client stalled' | DomainError;

/** Begins the log line of a call into a sandbox. It is written when the returned function is called. */
export function callLine(
  log: Logger,
  clock: Clock,
  call: {
    readonly method: DescMethod;
    readonly caller: Caller;
    readonly sandboxId: string;
    readonly protocol: string;
  },
): (outcome: CallOutcome) => void {
  const startedAt = clock.monotonic();
  const { method, caller, sandboxId, protocol } = call;
  return (outcome) => {
    const level = outcome === 'ok' && FREQUENT.has(method.name) ? 'debug' : 'info';
    log[level]('call', {
      method: `${method.parent.typeName}/${method.name}`,
      code: outcome instanceof DomainError ? outcome.reason : outcome,
      durationMs: Math.round((clock.monotonic() - startedAt) * 1_000) / 1_000,
      principal: caller.principal.id,
      ...{ sandboxId, protocol },
    });
  };
}
