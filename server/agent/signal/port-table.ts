import type { Clock } from '../../core/clock.ts';
import type { OpenPort, PortChange } from './events.ts';
import type { SignalLimits } from './limits.ts';
import type { SeenPort } from './port-scanner.ts';

export type PortTableOptions = {
  readonly clock: Clock;
  readonly limits: Pick<SignalLimits, 'openPorts' | 'portRestartMs'>;
  /** For each port `open` and `close` alternate. */
  readonly onChange: (change: PortChange, port: OpenPort) => void;
  /** Called once, when there are more ports than are told of. */
  readonly onFull: () => void;
};

type Entry = {
  port: OpenPort;
  /** Whether something was seen to listen on it, lately enough. */
  isSeen: boolean;
  /** Since when nothing was seen to listen any more, in monotonic time. */
  missingSince: number | undefined;
  /** Whether a program said that it is open. */
  isAnnounced: boolean;
};

/** The open ports of a sandbox. A server that is back within a second was never gone. */
export class PortTable {
  readonly #options: PortTableOptions;
  readonly #entries = new Map<number, Entry>();
  #wasFull = false;

  constructor(options: PortTableOptions) {
    this.#options = options;
  }

  /** The open ports, in their order. */
  list(): OpenPort[] {
    return [...this.#entries.values()]
      .map(({ port }) => port)
      .sort((one, other) => one.port - other.port);
  }

  /** When a look decides whether a port closed, in monotonic time. Undefined while none is in doubt. */
  get decidesAt(): number | undefined {
    let first = Number.POSITIVE_INFINITY;
    for (const { missingSince } of this.#entries.values())
      if (missingSince !== undefined && missingSince < first) first = missingSince;
    return first === Number.POSITIVE_INFINITY
      ? undefined
      : first + this.#options.limits.portRestartMs;
  }

  /**
   * Takes note of all that was seen to be open just now. With `mayRestart` a port that is missing gets
   * its second; without, it is closed.
   */
  update(
    seen: readonly SeenPort[],
    { mayRestart }: { readonly mayRestart: boolean } = { mayRestart: true },
  ): void {
    const present = new Set(seen.map(({ port }) => port));
    for (const [port, entry] of this.#entries)
      if (entry.isSeen && !present.has(port)) this.#miss(entry, mayRestart);
    for (const port of seen) this.#see(port);
  }

  /** Takes note of what a program said. What is seen counts more. */
  announce(port: number, change: PortChange): void {
    const entry = this.#entries.get(port);
    if (change === 'open') {
      if (entry) entry.isAnnounced = true;
      else this.#add({ port, address: '', process: '', pid: 0 }, { isAnnounced: true });
      return;
    }
    if (!entry?.isAnnounced) return;
    entry.isAnnounced = false;
    if (!entry.isSeen) this.#remove(entry);
  }

  #see(seen: SeenPort): void {
    const entry = this.#entries.get(seen.port);
    if (!entry) {
      this.#add(seen, { isAnnounced: false });
      return;
    }
    entry.port = { ...seen, openedAt: entry.port.openedAt };
    entry.isSeen = true;
    entry.missingSince = undefined;
  }

  #miss(entry: Entry, mayRestart: boolean): void {
    const { clock, limits } = this.#options;
    const now = clock.monotonic();
    entry.missingSince ??= now;
    if (mayRestart && now - entry.missingSince < limits.portRestartMs) return;
    entry.isSeen = false;
    entry.missingSince = undefined;
    if (!entry.isAnnounced) this.#remove(entry);
  }

  #add(seen: SeenPort, { isAnnounced }: { readonly isAnnounced: boolean }): void {
    const { clock, limits, onChange, onFull } = this.#options;
    if (this.#entries.size >= limits.openPorts) {
      if (!this.#wasFull) onFull();
      this.#wasFull = true;
      return;
    }
    const port = { ...seen, openedAt: clock.now() };
    const entry = { port, isSeen: !isAnnounced, missingSince: undefined, isAnnounced };
    this.#entries.set(port.port, entry);
    onChange('open', port);
  }

  #remove({ port }: Entry): void {
    this.#entries.delete(port.port);
    this.#options.onChange('close', port);
  }
}
