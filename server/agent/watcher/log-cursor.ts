import { readContent } from './content.ts';
import type { Difference, GapReason, NumberedChange, TreeChange, WatcherEvent } from './events.ts';
import type { WatcherLimits } from './limits.ts';
import type { WatcherLog } from './watcher-log.ts';

/**
 * One reader's way through the log of a watcher. What the log does not hold any more it makes up for
 * with the difference. It holds a position and at most one page of a difference.
 */
export class LogCursor {
  readonly #log: WatcherLog;
  readonly #limits: WatcherLimits;
  /** What the next gap is blamed on. */
  readonly #gapReason: () => GapReason;
  /** Number of the next event to look at. */
  #next: number;
  /** Where the reader is: it was told of everything before. Behind {@link #next} within a difference. */
  #told: number;
  #page: NumberedChange[] = [];
  #pageEnd = 0;
  /** Whether the gap was told that a difference makes up for. */
  #isGapTold = false;
  /** Whether deletions are missing in it. */
  #isIncomplete = false;
  /** Content that follows the change before. */
  #rest: Uint8Array | undefined;

  constructor(options: {
    readonly log: WatcherLog;
    readonly limits: WatcherLimits;
    readonly cursor: number;
    readonly gapReason: () => GapReason;
  }) {
    this.#log = options.log;
    this.#limits = options.limits;
    this.#gapReason = options.gapReason;
    this.#next = options.cursor;
    this.#told = options.cursor;
  }

  /** Whether everything was read. */
  get isAtEnd(): boolean {
    return !this.#rest && this.#page.length === 0 && this.#next >= this.#log.end;
  }

  /** Where the reader is. */
  get position(): number {
    return this.#told;
  }

  /** The next event. Undefined when there is none now, or none after a part that was looked at. */
  async read(): Promise<WatcherEvent | undefined> {
    if (this.#rest) return this.#takeContent();
    if (this.#page.length === 0 && this.#next < this.#log.start) {
      await this.#turnPage();
      if (this.#page.length === 0 && this.#isGapDue(this.#next)) return this.#gapTo(this.#next);
    }
    const change = this.#page[0];
    return change ? this.#readPage(change) : this.#readLog();
  }

  async #turnPage(): Promise<void> {
    const { differenceChanges } = this.#limits;
    const difference: Difference | undefined = await this.#log.difference(
      this.#next,
      differenceChanges,
    );
    this.#page = [...(difference?.changes ?? [])];
    this.#pageEnd = difference?.next ?? this.#log.end;
    this.#isIncomplete ||= difference?.isIncomplete ?? true;
    if (this.#page.length === 0) this.#next = this.#pageEnd;
  }

  async #readPage(change: NumberedChange): Promise<WatcherEvent> {
    if (this.#isGapDue(change.number)) return this.#gapTo(change.number);
    this.#page.shift();
    this.#next = this.#page.length === 0 ? this.#pageEnd : change.number + 1;
    return this.#toChange(change, change.number);
  }

  async #readLog(): Promise<WatcherEvent | undefined> {
    const number = this.#next;
    const event = this.#log.at(number);
    // Dropped while the difference was fetched: there is another one to fetch.
    if (!event) return undefined;
    // What the difference left out at its end, without a change to hang it on.
    if (this.#isGapDue(number)) return this.#gapTo(number);
    this.#next = number + 1;
    if (event.type === 'change') {
      const change = await this.#toChange(event, number);
      this.#isGapTold = false;
      return change;
    }
    const from = this.#told;
    this.#told = number + 1;
    this.#isGapTold = false;
    if (event.type === 'overflow')
      return { type: 'gap', from, to: number + 1, reason: 'OVERFLOW', isIncomplete: false };
    return {
      type: 'error',
      cursor: from,
      nextCursor: number + 1,
      reason: event.reason,
      message: event.message,
    };
  }

  /** Whether what lies before `number` is missing, and that was not told yet. */
  #isGapDue(number: number): boolean {
    return number > this.#told && (!this.#isGapTold || this.#isIncomplete);
  }

  #gapTo(to: number): WatcherEvent {
    const from = this.#told;
    this.#told = to;
    this.#isGapTold = true;
    const isIncomplete = this.#isIncomplete;
    this.#isIncomplete = false;
    return { type: 'gap', from, to, reason: this.#gapReason(), isIncomplete };
  }

  async #toChange(change: TreeChange, number: number): Promise<WatcherEvent> {
    const { kind, path, size, mtimeMs } = change;
    const cursor = this.#told;
    this.#told = number + 1;
    const event = {
      ...({ type: 'change', cursor, nextCursor: number + 1, kind, size, mtimeMs } as const),
      path: this.#log.toApiPath(path),
      followingBytes: 0,
    };
    const { maxContentBytes } = this.#log;
    if (maxContentBytes === undefined || (kind !== 'add' && kind !== 'change')) return event;
    const found = await readContent(this.#log.toFile(path), maxContentBytes);
    if (!('content' in found)) return { ...event, ...found };
    const first = found.content.subarray(0, this.#limits.contentPartBytes);
    const rest = found.content.subarray(first.length);
    if (rest.length > 0) this.#rest = rest;
    const { size: sizeNow, mtimeMs: mtimeNow } = found;
    return {
      ...event,
      size: sizeNow,
      mtimeMs: mtimeNow,
      content: first,
      followingBytes: rest.length,
    };
  }

  #takeContent(): WatcherEvent {
    const rest = this.#rest ?? new Uint8Array();
    const data = rest.subarray(0, this.#limits.contentPartBytes);
    this.#rest = data.length === rest.length ? undefined : rest.subarray(data.length);
    return { type: 'content', data };
  }
}
