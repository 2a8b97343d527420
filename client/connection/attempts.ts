import { SandboxError, unreachable } from '../errors.ts';
import { abortError, linkController } from './abort.ts';
import type { Clock } from './clock.ts';
import type { Watchdog } from './watchdog.ts';

/** Calls open for longer than this when the connection came back are asked again. */
const HUNG_AFTER_MS = 1_000;

/** The calls of a connection that are under way. */
export class Attempts {
  readonly #clock: Clock;
  readonly #watchdog: Watchdog;
  readonly #onQuiet: () => void;
  /** With the time they started. */
  readonly #open = new Map<{ abort(reason: unknown): void }, number>();

  constructor(options: { clock: Clock; watchdog: Watchdog; onQuiet: () => void }) {
    this.#clock = options.clock;
    this.#watchdog = options.watchdog;
    this.#onQuiet = options.onQuiet;
  }

  /** Makes one attempt at a call. It fails after 12 s without an answer. */
  async run<T>(operation: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const attempt = linkController(signal);
    this.#open.set(attempt, this.#clock.now());
    const watch = this.#watchdog.watch({
      onQuiet: this.#onQuiet,
      // The probe decides about the connection; a call that hangs on a good one is just repeated.
      onDead: () => attempt.abort(new SandboxError('deadline_exceeded', 'no answer within 12 s')),
    });
    try {
      return await operation(attempt.signal);
    } catch (error) {
      throw attempt.signal.aborted ? abortError(attempt.signal) : error;
    } finally {
      watch.stop();
      this.#open.delete(attempt);
      attempt.unlink();
    }
  }

  /** The connection is a new one: what hangs on the old one is made again. */
  abortHung(): void {
    const hungBefore = this.#clock.now() - HUNG_AFTER_MS;
    for (const [attempt, startedMs] of this.#open) {
      if (startedMs < hungBefore) attempt.abort(unreachable('the connection was replaced'));
    }
  }
}
