import type { SandboxError, TerminalExit, TerminalGap } from 'computesdk/client';

/** How a shell ended, in words. An exit code that is not known is never 0. */
export function exitWords({ exitCode, signal }: TerminalExit): string {
  if (signal !== undefined) return `The shell was ended by ${signal}.`;
  if (exitCode === undefined) return 'The shell has ended. Its exit code is not known.';
  return `The shell has ended with exit code ${exitCode}.`;
}

/** Why a terminal is over although its shell did not exit. Undefined where that is not so. */
export function endWords({ code }: SandboxError): string | undefined {
  switch (code) {
    case 'lost':
      return 'The sandbox was restarted, so the shell is gone. The files are still there.';
    case 'destroyed':
    case 'not_found':
      return 'This terminal was closed elsewhere.';
    default:
      return undefined;
  }
}

/** What went wrong with input, in words. Undefined where the connection's banner says it. */
export function problemWords(error: SandboxError): string | undefined {
  switch (error.code) {
    case 'access_ended':
    case 'closed':
      return undefined;
    case 'queue_full':
      return 'Too much input waits to be sent. Nothing of what you typed or pasted last was taken.';
    case 'too_large':
      return 'That is too much to paste at once, 1 MiB is the most. Nothing of it was sent.';
    case 'outcome_unknown':
      return 'Whether what you typed last has reached the shell is not known.';
    case 'permission_denied':
      return 'Your access is for watching only. The shell does not get what you type.';
    default:
      return `Something went wrong: ${error.message}`;
  }
}

/** A line for the place where output is missing. */
export function gapWords({ from, to, reason }: TerminalGap): string {
  const bytes = (to - from).toLocaleString('en');
  return `${bytes} bytes of output are missing here: ${reason.replaceAll('_', ' ')}`;
}
