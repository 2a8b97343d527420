import type { Timer } from './connection/clock.ts';
import type { Connection } from './connection/connection.ts';
import { Emitter, type Listener, type Unsubscribe } from './emitter.ts';
import type { AnySignal, PortSignal, SignalEvents, SignalGap } from './signal-events.ts';
import type { TaskQueue } from './task-queue.ts';

/** Signals that wait for the first listener. The oldest are dropped when there are more, which a gap tells. */
export const MAX_HELD = 1_000;

type Name = keyof SignalEvents;
type Pending = { readonly event: Name; readonly listener: unknown; isWanted: boolean };
type Held = { readonly number: number; readonly signal: Exclude<AnySignal, PortSignal> };

/**
 * Tells signals to listeners. Whoever comes late gets the ports that are open; what else there was
 * before the first listener waits for it.
 */
export class SignalTeller {
  readonly #emitter = new Emitter<SignalEvents>();
  readonly #queue: TaskQueue;
  readonly #clock: Connection['clock'];
  /** The ports that are open, as far as they were told. */
  readonly #open = new Map<number, PortSignal>();
  /** Listeners whose turn has not come. */
  readonly #pending = new Set<Pending>();
  /** Undefined once there was a listener. */
  #held: Held[] | undefined = [];
  #heldGap: SignalGap | undefined;
  #releaseTimer: Timer | undefined;

  /** The queue is that of the signals: a listener's turn comes between two of them. */
  constructor(queue: TaskQueue, clock: Connection['clock']) {
    this.#queue = queue;
    this.#clock = clock;
  }

  /** The ports that are open, as far as they were told. */
  get open(): ReadonlyMap<number, PortSignal> {
    return this.#open;
  }

  listen<K extends Name>(
    event: K,
    listener: Listener<SignalEvents, K>,
    once: boolean,
  ): Unsubscribe {
    const pending: Pending = { event, listener, isWanted: true };
    this.#pending.add(pending);
    this.#queue.push(() => {
      this.#pending.delete(pending);
      if (pending.isWanted) this.#admit(event, listener, once);
    });
    return () => this.off(event, listener);
  }

  off<K extends Name>(event: K, listener: Listener<SignalEvents, K>): void {
    for (const pending of this.#pending)
      if (pending.event === event && pending.listener === listener) pending.isWanted = false;
    this.#emitter.off(event, listener);
  }

  tellPort(signal: PortSignal): void {
    if (signal.type === 'open') this.#open.set(signal.port, signal);
    else this.#open.delete(signal.port);
    this.#emitter.emit('port', signal);
    this.#emitter.emit('signal', signal);
  }

  tell(signal: Exclude<AnySignal, PortSignal>, number: number): void {
    if (this.#held) this.#hold(this.#held, { number, signal });
    else this.#emit(signal);
  }

  tellGap(gap: SignalGap): void {
    if (this.#held) this.#heldGap = { ...gap, from: this.#heldGap?.from ?? gap.from };
    else this.#emitter.emit('gap', gap);
  }

  tellClosed(...error: SignalEvents['closed']): void {
    this.#release();
    this.#emitter.emit('closed', ...error);
  }

  stop(): void {
    this.#releaseTimer?.clear();
  }

  #admit<K extends Name>(event: K, listener: Listener<SignalEvents, K>, once: boolean): void {
    this.#emitter.on(event, listener, once);
    if (event === 'port' || event === 'signal') {
      // Both take the signal of a port.
      const taker = listener as Listener<SignalEvents, 'port' | 'signal'>;
      for (const signal of [...this.#open.values()]) this.#emitter.emitTo(event, taker, signal);
    }
    // In the next macrotask, so that listeners which are registered together all get what waits.
    if (this.#held) this.#releaseTimer ??= this.#clock.setTimer(() => this.#release(), 0);
  }

  #release(): void {
    this.#releaseTimer?.clear();
    const held = this.#held ?? [];
    this.#held = undefined;
    if (this.#heldGap) this.#emitter.emit('gap', this.#heldGap);
    this.#heldGap = undefined;
    for (const { signal } of held) this.#emit(signal);
  }

  #hold(held: Held[], entry: Held): void {
    held.push(entry);
    if (held.length <= MAX_HELD) return;
    const oldest = held.shift();
    if (!oldest) return;
    const { number } = oldest;
    const from = this.#heldGap?.from ?? number;
    this.#heldGap = { from, to: number + 1, reason: 'slow_reader' };
  }

  #emit(signal: Exclude<AnySignal, PortSignal>): void {
    switch (signal.signal) {
      case 'error':
        this.#emitter.emit('error', signal);
        break;
      case 'serverReady':
        this.#emitter.emit('serverReady', signal);
        break;
      case 'custom':
        this.#emitter.emit('custom', signal);
        break;
    }
    this.#emitter.emit('signal', signal);
  }
}
