import { constants } from 'node:os';
import { invalidArgument } from '../../core/domain-error.ts';

/** Signals that a caller may send to a terminal. */
export const TERMINAL_SIGNALS = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGKILL',
  'SIGUSR1',
  'SIGUSR2',
  'SIGSTOP',
  'SIGTSTP',
  'SIGCONT',
  'SIGWINCH',
] as const;

/** One of {@link TERMINAL_SIGNALS}. */
export type TerminalSignal = (typeof TERMINAL_SIGNALS)[number];

/** The signal of that name. Throws INVALID_ARGUMENT. */
export function parseSignal(name: string): TerminalSignal {
  const signal = TERMINAL_SIGNALS.find((known) => known === name);
  if (!signal) throw invalidArgument('signal', `must be one of ${TERMINAL_SIGNALS.join(', ')}`);
  return signal;
}

/** The name of a signal's number, for example `SIGKILL`; `SIG<number>` for one without a name. */
export function signalName(number: number): string {
  const entry = Object.entries(constants.signals).find(([, value]) => value === number);
  return entry?.[0] ?? `SIG${number}`;
}
