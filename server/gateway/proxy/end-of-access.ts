import type { DomainError } from '../../core/domain-error.ts';

/** How long the end of a call may wait for a slow client before it is reset, in milliseconds. */
export const END_READ_MS = 100;

const REASONS: ReadonlySet<string> = new Set(['REVOKED', 'EXPIRED', 'DESTROYED']);

/** Whether the client must get nothing more, not even what was sent before and it did not read. */
export function endsAccess(cause: DomainError): boolean {
  return REASONS.has(cause.reason);
}

/** Runs a task once everything was read that had arrived: a busy loop is late with timers and with answers alike. */
export function afterReading(task: () => void): void {
  setImmediate(() => setImmediate(task));
}
