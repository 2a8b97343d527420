import type { SandboxErrorCode } from '../errors.ts';

/**
 * Why a connection ended for good: its owner disconnected it, or the code of the refusal (for
 * example `revoked`, `expired`, `destroyed`).
 */
export type CloseReason = 'disconnected' | SandboxErrorCode;

/**
 * What is not as it should be with a connection that works.
 *
 * - `websocket_unavailable`: HTTP is used, because no WebSocket could be had.
 * - `buffering_proxy`: something on the way keeps the messages of streams back, so output is late.
 * - `stream_limit`: one more stream over HTTP/1.1 will be refused, as the page has as many as it can.
 */
export interface ConnectionNotice {
  readonly code: 'buffering_proxy' | 'stream_limit' | 'websocket_unavailable';
  /** What it is and what to do, for people. */
  readonly message: string;
}

/**
 * How a sandbox is connected just now.
 *
 * - `connecting`: the credential is being verified.
 * - `connected`: the last thing heard from the gateway was good. `notice` says what is not as it
 *   should be, and what to do about it.
 * - `reconnecting`: attempt number `attempt` starts in `inMs` milliseconds. Attempts go on without
 *   end; terminals and input resume where they were.
 * - `closed`: over for good.
 */
export type ConnectionState =
  | { readonly state: 'connecting' }
  | { readonly state: 'connected'; readonly notice?: ConnectionNotice }
  | { readonly state: 'reconnecting'; readonly attempt: number; readonly inMs: number }
  | { readonly state: 'closed'; readonly reason: CloseReason };
