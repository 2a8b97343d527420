import type { CloseReason, ConnectionState } from 'computesdk/client';

/** What to tell about a connection. */
export type ConnectionWords = {
  readonly text: string;
  /** Whether it is over: nothing happens by itself any more. */
  readonly isClosed: boolean;
  /** Whether trying again may help. */
  readonly mayRetry: boolean;
  /** How long until the next attempt, where one is coming. */
  readonly inMs?: number;
};

const ASK = 'Ask whoever invited you for a new magic link.';

/** A connection's state in words, with what to do. Undefined while all is well. */
export function connectionWords(connection: ConnectionState): ConnectionWords | undefined {
  switch (connection.state) {
    case 'connected':
      return undefined;
    case 'connecting':
      return { text: 'Connecting…', isClosed: false, mayRetry: false };
    case 'reconnecting': {
      const text = 'The connection is lost. What you type is kept and sent later.';
      return { text, isClosed: false, mayRetry: false, inMs: connection.inMs };
    }
    case 'closed': {
      const text = closedText(connection.reason);
      return { text: text ?? unknownText(connection.reason), isClosed: true, mayRetry: !text };
    }
  }
}

/** When access ends, in words. */
export function expiryWords(expiresAt: Date): string {
  const time = expiresAt.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return `Your access to this sandbox ends at ${time}. ${ASK}`;
}

/** The time until an attempt, in words. */
export function countdownText(leftMs: number): string {
  const seconds = Math.ceil(leftMs / 1_000);
  return seconds <= 0 ? 'Reconnecting…' : `Reconnecting in ${seconds} s`;
}

/** Why a connection is over for good. Undefined for reasons that may pass. */
function closedText(reason: CloseReason): string | undefined {
  switch (reason) {
    case 'disconnected':
      return 'You are signed out. To come back, open a new magic link.';
    case 'revoked':
      return `Your access to this sandbox was taken back, or you signed out in another tab. ${ASK}`;
    case 'expired':
      return `Your access to this sandbox has expired. ${ASK}`;
    case 'unauthenticated':
      return `This browser is not signed in to this sandbox. ${ASK}`;
    case 'permission_denied':
    case 'not_found':
      return `This browser has no access to this sandbox, or the sandbox is gone. ${ASK}`;
    case 'destroyed':
      return `This sandbox was destroyed, with everything in it. ${ASK}`;
    case 'sandbox_failed':
      return 'This sandbox stopped too often and is not started again. Tell whoever invited you.';
    case 'origin_not_allowed':
      return 'The gateway takes no calls from this address. Open the page by its magic link.';
    default:
      return undefined;
  }
}

function unknownText(reason: CloseReason): string {
  if (reason === 'unreachable') return 'The gateway does not answer. It may be starting.';
  return `The connection ended (${reason.replaceAll('_', ' ')}).`;
}
