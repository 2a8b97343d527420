import type { SandboxError } from './errors.ts';

/** How a call can be ended early. */
export interface SignalOption {
  /** Ends the call with a {@link SandboxError} of the code `canceled`. */
  readonly signal?: AbortSignal | undefined;
}
