import type { Clock, Timer } from '../../core/clock.ts';
import type { SignalLimits } from './limits.ts';
import type { SeenPort } from './port-scanner.ts';
import type { PortTable } from './port-table.ts';

export type PortWatchOptions = {
  readonly clock: Clock;
  readonly limits: SignalLimits;
  readonly table: Pick<PortTable, 'update' | 'decidesAt'>;
  /** The ports that are open. Takes milliseconds of processor time. */
  readonly scan: () => Promise<readonly SeenPort[]>;
  /** A text that changes with the number of sockets. Takes microseconds. Undefined: not known here. */
  readonly count: () => string | undefined;
  readonly onFailed: (error: unknown) => void;
};

/**
 * Decides when to look for ports: soon and often after terminals or commands were active, a few times
 * a second otherwise, and with the costly scan only where the cheap count says that something changed.
 */
export class PortWatch {
  readonly #options: PortWatchOptions;
  #isRunning = false;
  /** Whether the last scan was made since the start, so that the next one sees what happened between. */
  #isContinuous = false;
  #timer: Timer | undefined;
  /** When the timer fires, in monotonic time. */
  #timerAt = 0;
  /** Until when activity counts. */
  #activeUntil = Number.NEGATIVE_INFINITY;
  /** Since when it does without a pause. */
  #activeSince = Number.NEGATIVE_INFINITY;
  /** The next wait after activity. */
  #activeWaitMs = 0;
  /** Whether the kernel counts sockets. */
  #isCounted = false;
  /** The count before the last scan. */
  #scannedCount: string | undefined;
  #scannedAt = Number.NEGATIVE_INFINITY;
  /** The ports that the last scan saw, as a text to compare. */
  #scannedPorts = '';
  /** When a scan that the count asked for last saw nothing new. */
  #fruitlessAt = Number.NEGATIVE_INFINITY;
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(options: PortWatchOptions) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Looks from now on. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#isContinuous = false;
    this.#isCounted = this.#options.count() !== undefined;
    this.#schedule();
  }

  stop(): void {
    this.#isRunning = false;
    this.#timer?.clear();
    this.#timer = undefined;
  }

  /** A terminal or command was active: a port may open any moment. Cheap enough for every key. */
  wake(): void {
    const { clock, limits } = this.#options;
    const now = clock.monotonic();
    const wasActive = now < this.#activeUntil;
    this.#activeUntil = now + limits.activeMs;
    if (wasActive) return;
    this.#activeSince = now;
    this.#activeWaitMs = limits.firstLookMs;
    if (this.#timer && this.#timerAt > now + limits.firstLookMs) this.#schedule();
  }

  /** Scans. Resolves when a scan that began after this call is done. */
  scan(): Promise<void> {
    this.#next ??= this.#current.then(() => {
      this.#next = undefined;
      this.#current = this.#scan();
      return this.#current;
    });
    return this.#next;
  }

  async #scan(): Promise<void> {
    const { clock, scan, count, table, onFailed } = this.#options;
    // Before the scan: what changes meanwhile is seen at the next look.
    const counted = count();
    try {
      const seen = await scan();
      this.#scannedPorts = seen.map(({ port }) => port).join();
      table.update(seen, { mayRestart: this.#isRunning && this.#isContinuous });
      this.#isContinuous = true;
      this.#scannedCount = counted;
    } catch (error) {
      onFailed(error);
    }
    this.#scannedAt = clock.monotonic();
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    if (this.#isScanDue()) await this.scan();
    else if (this.#isCountNew()) await this.#scanForCount();
    if (this.#isRunning && !this.#timer) this.#schedule();
  }

  #isScanDue(): boolean {
    const { clock, limits, table } = this.#options;
    const now = clock.monotonic();
    if (now >= (table.decidesAt ?? Number.POSITIVE_INFINITY)) return true;
    const isActive = now - this.#activeSince >= limits.activeRescanMs && now < this.#activeUntil;
    const rescanMs = isActive ? limits.activeRescanMs : limits.calmRescanMs;
    return !this.#isCounted || now - this.#scannedAt >= rescanMs;
  }

  #isCountNew(): boolean {
    const { clock, limits, count } = this.#options;
    const isAllowed = clock.monotonic() - this.#fruitlessAt >= limits.scanGapMs;
    return isAllowed && count() !== this.#scannedCount;
  }

  /** Where connections come and go in numbers, the count says nothing about ports. */
  async #scanForCount(): Promise<void> {
    const before = this.#scannedPorts;
    await this.scan();
    if (this.#scannedPorts === before) this.#fruitlessAt = this.#options.clock.monotonic();
  }

  #schedule(): void {
    const { clock, limits, table } = this.#options;
    const now = clock.monotonic();
    // A scan that fails decides nothing, and must not be repeated at once.
    const soonest = Math.max(now, this.#scannedAt + limits.firstLookMs);
    const decidesAt = Math.max(table.decidesAt ?? Number.POSITIVE_INFINITY, soonest);
    this.#timerAt = Math.min(now + this.#wait(now), decidesAt);
    this.#timer?.clear();
    this.#timer = clock.setTimer(() => void this.#look(), this.#timerAt - now);
  }

  #wait(now: number): number {
    const { limits } = this.#options;
    if (now >= this.#activeUntil) return this.#isCounted ? limits.calmLookMs : limits.calmScanMs;
    const wait = this.#activeWaitMs;
    const longest = this.#isCounted ? limits.activeLookMs : limits.activeScanMs;
    this.#activeWaitMs = Math.min(2 * wait, longest);
    return wait;
  }
}
