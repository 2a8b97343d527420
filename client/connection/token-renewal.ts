import { isCredentialRefusal, isTransient, SandboxError, toSandboxError } from '../errors.ts';
import { linkController, sleep } from './abort.ts';
import { Backoff } from './backoff.ts';
import type { Clock } from './clock.ts';
import type { TokenCredential } from './credential.ts';
import { askForToken, functionFailed, type TokenFunction } from './token-function.ts';

/** What a renewal is made of. */
export type TokenRenewalParts = {
  readonly credential: TokenCredential;
  readonly giveToken: TokenFunction;
  /** Has the gateway let a token take the place of the present one. Resolves with when it ends. */
  readonly takeOver: (token: string, signal: AbortSignal) => Promise<number | undefined>;
  readonly clock: Clock;
  /** Waits until the gateway can be reached. */
  readonly untilConnected: (signal: AbortSignal) => Promise<unknown>;
  /** The present token is of no use, and the function failed to give another. Told at every failure. */
  readonly onStruggle: () => void;
  /** Calls are made with another token from now on. */
  readonly onRenewed: (expiresAtMs: number | undefined) => void;
  /** There will be no other token. */
  readonly onEnded: (failure: SandboxError) => void;
  /** Fires when nobody needs a token any more. */
  readonly closed: AbortSignal;
};

/** How long a function that fails is asked again after the present token expired. */
export const EXPIRED_LIMIT_MS = 60_000;
/** How soon a function that gave the same token again is asked for another, while that is good. */
const SAME_TOKEN_DELAY_MS = 60_000;
/** A token that is refused this soon after it was taken over is replaced with a delay. */
const SETTLED_AFTER_MS = 10_000;

/**
 * Replaces a token by another, in time or after a refusal. One renewal runs at a time, however many
 * need it. While the present token is good, failures are retried quietly; once it was refused, the
 * function has to give a good one, for which it has a minute if the old one just expired.
 */
export class TokenRenewal {
  readonly #parts: TokenRenewalParts;
  #running: Promise<boolean> | undefined;
  /** Why the present token is of no use. Absent while it is good. */
  #refusal: { readonly cause: SandboxError; readonly atMs: number } | undefined;
  /** A token that was given and not taken over yet. */
  #candidate: string | undefined;
  #skipPause: (() => void) | undefined;
  #renewedAtMs = Number.NEGATIVE_INFINITY;
  /** Paces renewals after refusals that follow each other. */
  readonly #pace: Backoff;

  constructor(parts: TokenRenewalParts) {
    this.#parts = parts;
    this.#pace = new Backoff(parts.clock.random);
  }

  /** The present token ends soon. Never rejects. Resolves with whether there is another. */
  beforeExpiry(): Promise<boolean> {
    this.#running ??= this.#run();
    return this.#running;
  }

  /** The present token was refused. As {@link TokenRenewal.beforeExpiry}. */
  afterRefusal(cause: SandboxError): Promise<boolean> {
    this.#refusal ??= { cause, atMs: this.#parts.clock.now() };
    this.#running ??= this.#run();
    this.#skipPause?.();
    return this.#running;
  }

  async #run(): Promise<boolean> {
    try {
      await this.#renew();
      return true;
    } catch (error) {
      this.#parts.onEnded(toSandboxError(error));
      return false;
    } finally {
      this.#running = undefined;
      this.#refusal = undefined;
      this.#candidate = undefined;
    }
  }

  async #renew(): Promise<void> {
    const { clock, closed, untilConnected, onStruggle } = this.#parts;
    const backoff = new Backoff(clock.random);
    await this.#keepPace();
    for (;;) {
      if (!this.#refusal) await this.#pause(untilConnected);
      const failure = await this.#attempt();
      if (!failure) return;
      if (closed.aborted) throw failure;
      if (this.#refusal) onStruggle();
      const delayMs = Math.max(backoff.next(), failure.retryAfterMs ?? 0);
      await this.#pause((signal) => sleep(clock, delayMs, signal));
    }
  }

  /** Why there is no other token yet; throws if there will be none. */
  async #attempt(): Promise<SandboxError | undefined> {
    const { credential, giveToken, takeOver, onRenewed, clock, closed } = this.#parts;
    let token = this.#candidate;
    try {
      const reason = this.#refusal ? 'refused' : 'expiring';
      token ??= await askForToken(giveToken, reason, { clock, signal: closed });
    } catch (error) {
      return this.#orEnded(toSandboxError(error));
    }
    if (token === credential.token) return this.#useless(sameToken());
    this.#candidate = token;
    try {
      const expiresAtMs = await takeOver(token, closed);
      credential.replace(token);
      this.#renewedAtMs = clock.now();
      onRenewed(expiresAtMs);
      return undefined;
    } catch (error) {
      const failure = toSandboxError(error);
      if (isTransient(failure) || failure.code === 'limit_reached') return failure;
      this.#candidate = undefined;
      if (isCredentialRefusal(failure)) return this.#useless(failure);
      throw refusedForGood(failure);
    }
  }

  /** The function gave a token that is no good. Once the present one is of no use, it has no other chance. */
  #useless(cause: SandboxError): SandboxError {
    const failure = functionFailed(cause);
    if (this.#refusal) throw ended(this.#refusal.cause, failure);
    return failure;
  }

  #orEnded(failure: SandboxError): SandboxError {
    if (!this.#refusal) return failure;
    const { cause, atMs } = this.#refusal;
    // Expired maybe while there was no network, which may be coming back for the function too.
    const mayHelp = cause.code === 'expired' && !isDefinite(failure.cause);
    if (mayHelp && this.#parts.clock.now() - atMs < EXPIRED_LIMIT_MS) return failure;
    throw ended(cause, failure);
  }

  /** Waits for something. A refusal cuts it short. */
  async #pause(task: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const pause = linkController(this.#parts.closed);
    this.#skipPause = () => pause.abort();
    try {
      await task(pause.signal);
    } catch {
      // Skipped, or closed: the next step sees which.
    } finally {
      this.#skipPause = undefined;
      pause.unlink();
    }
  }

  /** Refusals of one new token after another must not become a storm. */
  async #keepPace(): Promise<void> {
    const { clock, closed } = this.#parts;
    if (clock.now() - this.#renewedAtMs >= SETTLED_AFTER_MS) this.#pace.reset();
    if (this.#refusal) await sleep(clock, this.#pace.next(), closed);
  }
}

/** A function that says with our own error that there is no token knows. */
function isDefinite(thrown: unknown): boolean {
  return thrown instanceof SandboxError && !isTransient(thrown);
}

function sameToken(): SandboxError {
  const retryAfterMs = SAME_TOKEN_DELAY_MS;
  return new SandboxError('unauthenticated', 'it gave the same token again', { retryAfterMs });
}

function ended(cause: SandboxError, failure: SandboxError): SandboxError {
  return new SandboxError(cause.code, `${cause.message}; ${failure.message}`, { cause: failure });
}

/** The gateway takes the token, but not in the place of the present one. */
function refusedForGood(failure: SandboxError): SandboxError {
  const problem =
    failure.code === 'permission_denied'
      ? 'the function gave a token of another sandbox, or an API key'
      : 'the token that the function gave cannot take the place of the one before';
  const message = `token: ${problem}: ${failure.message}`;
  return new SandboxError(failure.code, message, { field: 'token', cause: failure });
}
