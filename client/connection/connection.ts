import {
  endsAccess,
  isNetworkFailure,
  isTransient,
  SandboxError,
  toSandboxError,
  unreachable,
} from '../errors.ts';
import { abortError, linkController, sleep, waitFor } from './abort.ts';
import type { Access } from './access.ts';
import { Attempts } from './attempts.ts';
import { Backoff } from './backoff.ts';
import type { Clock } from './clock.ts';
import type { CloseReason, ConnectionNotice, ConnectionState } from './connection-state.ts';
import { type Gate, newGate } from './gate.ts';
import { Pause } from './pause.ts';
import { askOnce } from './reach.ts';
import { RETRY_LIMIT_MS } from './retry.ts';
import { Wakefulness, type WakeSignals } from './wake-signals.ts';
import { Watchdog } from './watchdog.ts';

/** What a connection is made of. */
export type ConnectionParts = {
  readonly access: Access;
  readonly clock: Clock;
  readonly wakeSignals: WakeSignals;
  readonly onState: (state: ConnectionState) => void;
};

/** How a call is retried. */
export type CallOptions = {
  readonly signal?: AbortSignal | undefined;
  /** Absent: up to 30 s. `forever`: until it succeeds, is refused, or the signal fires. */
  readonly retry?: 'forever';
  /** Refusals that are worth another try although they are not transient in general. */
  readonly alsoRetry?: (error: SandboxError) => boolean;
};

/** How long the first contact is tried: whoever mistyped an address wants to know soon. */
export const FIRST_CONTACT_LIMIT_MS = 5_000;
/** How long a question to a connection that may be dead is waited for. */
const PROBE_LIMIT_MS = 1_500;

/**
 * The way to one sandbox, shared by all its streams and calls. When one of them fails by the
 * network, one prober looks for the way back and all others wait for it.
 */
export class Connection {
  readonly clock: Clock;
  readonly watchdog: Watchdog;
  readonly access: Access;
  /** Held while something waits for the network. */
  readonly wakefulness: Wakefulness;
  readonly #onState: (state: ConnectionState) => void;
  readonly #attempts: Attempts;
  readonly #closed = new AbortController();
  #state: ConnectionState = { state: 'connecting' };
  #notice: ConnectionNotice | undefined;
  /** Closed while there is no way; a new one for every interruption. */
  #gate: Gate = newGate();
  /** Counts how often the way was found; a failure of an older way says nothing about this one. */
  #generation = 0;
  #losing = new AbortController();
  #probing: Promise<boolean> | undefined;
  /** Before the next attempt to reconnect. */
  readonly #pause = new Pause();
  /** Whether the owner is giving the credential up, so that its end is no news. */
  #isLeaving = false;

  constructor(parts: ConnectionParts) {
    this.clock = parts.clock;
    this.access = parts.access;
    this.#onState = parts.onState;
    this.wakefulness = new Wakefulness(parts.wakeSignals, () => this.wake());
    this.watchdog = new Watchdog(parts.clock, () => this.wake());
    this.#attempts = new Attempts({
      clock: this.clock,
      watchdog: this.watchdog,
      onQuiet: () => void this.probe(),
    });
    this.access.serve(this);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Fires when the connection is over for good; its reason is a {@link SandboxError}. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Fires when the way of now turns out to be none. Every way has its own. */
  get lost(): AbortSignal {
    return this.#losing.signal;
  }

  /** Verifies the credential. Tries for five seconds if the network is to blame. */
  async open(signal?: AbortSignal): Promise<void> {
    const caller = linkController(signal, this.closed);
    const backoff = new Backoff(this.clock.random);
    const startedMs = this.clock.now();
    try {
      for (;;) {
        try {
          await waitFor(this.access.reach(caller.signal), caller.signal);
          break;
        } catch (error) {
          const failure = toSandboxError(error);
          const delayMs = Math.max(backoff.next(), failure.retryAfterMs ?? 0);
          const waitedMs = this.clock.now() - startedMs;
          if (!isTransient(failure) || waitedMs + delayMs > FIRST_CONTACT_LIMIT_MS) throw failure;
          await sleep(this.clock, delayMs, caller.signal);
        }
      }
    } catch (error) {
      const failure = toSandboxError(error);
      this.close(failure.code, failure);
      throw failure;
    } finally {
      caller.unlink();
    }
    this.assumeConnected();
  }

  /** A call of the same credential just succeeded, so there is no need to verify it. */
  assumeConnected(): void {
    if (this.#state.state === 'closed' || this.#state.state === 'connected') return;
    this.#generation += 1;
    this.#losing = new AbortController();
    this.#setConnected();
    this.#gate.open();
    this.#attempts.abortHung();
  }

  /** Waits until there is a way, and names it. */
  async enter(signal: AbortSignal): Promise<number> {
    if (this.#state.state !== 'connected') await waitFor(this.#gate.passed, signal);
    return this.#generation;
  }

  /** Makes a call, again and again if the network or a restart is to blame. */
  async call<T>(
    operation: (signal: AbortSignal) => Promise<T>,
    options: CallOptions = {},
  ): Promise<T> {
    const caller = linkController(options.signal, this.closed);
    const backoff = new Backoff(this.clock.random);
    const limitMs = options.retry === 'forever' ? undefined : RETRY_LIMIT_MS;
    // An error costs its stack, and each key is a call, which has no limit.
    let lastFailure = limitMs ? unreachable(`no connection within ${limitMs} ms`) : undefined;
    const timer = limitMs && this.clock.setTimer(() => caller.abort(lastFailure), limitMs);
    try {
      for (;;) {
        const generation = await this.enter(caller.signal);
        const { replaced } = this.access;
        try {
          return await this.#attempts.run(operation, caller.signal);
        } catch (error) {
          if (caller.signal.aborted) throw abortError(caller.signal);
          const failure = toSandboxError(error);
          if (await waitFor(this.access.recover(failure, replaced), caller.signal)) continue;
          if (!isTransient(failure) && !options.alsoRetry?.(failure)) {
            this.noteRefusal(failure);
            throw failure;
          }
          lastFailure = failure;
          // A kept connection may be closed just when it is used again: that alone is no interruption.
          if (isNetworkFailure(failure) && backoff.attempts > 0) this.reportFailure(generation);
          const delayMs = Math.max(backoff.next(), failure.retryAfterMs ?? 0);
          await sleep(this.clock, delayMs, caller.signal);
        }
      }
    } finally {
      if (timer) timer.clear();
      caller.unlink();
    }
  }

  /** Something is not as it should be with the way, or nothing any more. */
  note(notice: ConnectionNotice | undefined): void {
    if (this.#notice?.code === notice?.code) return;
    this.#notice = notice;
    if (this.#state.state === 'connected') this.#setConnected();
  }

  /** There is no way just now, whatever the last answer said. */
  lose(): void {
    this.reportFailure(this.#generation);
  }

  /** The way that `enter` named does not work any more. */
  reportFailure(generation: number): void {
    if (this.#state.state !== 'connected' || generation !== this.#generation) return;
    this.#gate = newGate();
    this.#losing.abort(unreachable('the connection broke'));
    void this.#reconnect();
  }

  /** A call was refused: ends the connection if that is what it means. */
  noteRefusal(failure: SandboxError): void {
    if (!endsAccess(failure)) return;
    // The thing that the call named may be gone, or the scope missing, while access is fine.
    if (failure.code === 'not_found' || failure.code === 'permission_denied') void this.probe();
    else if (failure.code === 'destroyed') void this.probe();
    else this.close(failure.code, failure);
  }

  /** Asks the gateway for a sign of life, now. */
  probe(): Promise<boolean> {
    this.#pause.skip();
    if (this.#state.state !== 'connected') return Promise.resolve(false);
    this.#probing ??= this.#ask().finally(() => {
      this.#probing = undefined;
    });
    return this.#probing;
  }

  /** The platform hints that the network may be back, or another one. */
  wake(): void {
    this.watchdog.suspect();
    void this.probe();
  }

  /** The owner gives the credential up: when it ends, that is as if the owner had disconnected. */
  leave(): void {
    this.#isLeaving = true;
  }

  /** The owner could not give the credential up. */
  stay(): void {
    this.#isLeaving = false;
  }

  /** Ends it for good. Idempotent. */
  close(reason: CloseReason, cause?: SandboxError): void {
    if (this.closed.aborted) return;
    if (this.#isLeaving && cause) {
      this.close('disconnected');
      return;
    }
    const error = cause
      ? new SandboxError('access_ended', `access to the sandbox ended: ${cause.message}`, { cause })
      : new SandboxError('closed', 'the sandbox was disconnected');
    this.#set({ state: 'closed', reason });
    this.#closed.abort(error);
    this.#gate.fail(error);
    this.access.close();
  }

  async #ask(): Promise<boolean> {
    const generation = this.#generation;
    const { replaced } = this.access;
    try {
      const ask = (signal: AbortSignal) => this.access.probe(signal);
      await askOnce(ask, PROBE_LIMIT_MS, this.clock, this.closed);
      return true;
    } catch (error) {
      const failure = toSandboxError(error);
      if (await this.access.recover(failure, replaced)) return true;
      if (endsAccess(failure)) this.close(failure.code, failure);
      else this.reportFailure(generation);
      return false;
    }
  }

  async #reconnect(): Promise<void> {
    const backoff = new Backoff(this.clock.random);
    const sleepAgain = this.wakefulness.hold();
    let retryAfterMs = 0;
    try {
      while (!this.closed.aborted) {
        const inMs = Math.round(Math.max(backoff.next(), retryAfterMs));
        this.#set({ state: 'reconnecting', attempt: backoff.attempts, inMs });
        await this.#pause.wait(this.clock, inMs, this.closed);
        try {
          await this.access.reach(this.closed);
          this.assumeConnected();
          return;
        } catch (error) {
          const failure = toSandboxError(error);
          retryAfterMs = failure.retryAfterMs ?? 0;
          if (endsAccess(failure)) this.close(failure.code, failure);
        }
      }
    } finally {
      sleepAgain();
    }
  }

  #setConnected(): void {
    this.#set({ state: 'connected', ...(this.#notice && { notice: this.#notice }) });
  }

  #set(state: ConnectionState): void {
    this.#state = state;
    this.#onState(state);
  }
}
