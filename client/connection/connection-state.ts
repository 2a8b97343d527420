import type { SandboxErrorCode } from '../errors.ts';

/**
 * Why a connection ended for good: its owner disconnected it, or the code of the refusal (for
 * example `revoked`, `expired`, `destroyed`).
 */
export type CloseReason = 'disconnected' | SandboxErrorCode;

/**
 * How a sandbox is connected just now.
 *
 * - `connecting`: the credential is being verified.
 * - `connected`: the last thing heard from the gateway was good.
 * - `reconnecting`: attempt number `attempt` starts in `inMs` milliseconds. Attempts go on without
 *   end; terminals and input resume where they were.
 * - `closed`: over for good.
 */
export type ConnectionState =
  | { readonly state: 'connecting' }
  | { readonly state: 'connected' }
  | { readonly state: 'reconnecting'; readonly attempt: number; readonly inMs: number }
  | { readonly state: 'closed'; readonly reason: CloseReason };
