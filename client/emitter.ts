/** Takes a listener off again. Calling it twice does nothing. */
export type Unsubscribe = () => void;

/** The arguments of each event, by its name. */
export type EventMap = { readonly [event: string]: readonly unknown[] };

/** A listener for the event `K`. */
export type Listener<Events extends EventMap, K extends keyof Events> = (
  ...values: Events[K]
) => void;

/** The listeners of each event; the value says whether one call is all it wants. */
type Listeners<Events extends EventMap> = {
  [K in keyof Events]?: Map<Listener<Events, K>, { readonly once: boolean }>;
};

/**
 * A typed event emitter. Listeners run in the order of their registration; one that throws does
 * not disturb the others, its error is reported like that of any event handler.
 */
export class Emitter<Events extends EventMap> {
  readonly #listeners: Listeners<Events> = {};

  on<K extends keyof Events>(event: K, listener: Listener<Events, K>, once = false): Unsubscribe {
    const listeners = this.#listeners[event] ?? new Map();
    listeners.set(listener, { once });
    this.#listeners[event] = listeners;
    return () => this.off(event, listener);
  }

  off<K extends keyof Events>(event: K, listener: Listener<Events, K>): void {
    this.#listeners[event]?.delete(listener);
  }

  hasListeners(event: keyof Events): boolean {
    return (this.#listeners[event]?.size ?? 0) > 0;
  }

  emit<K extends keyof Events>(event: K, ...values: Events[K]): void {
    const listeners = this.#listeners[event];
    if (!listeners || listeners.size === 0) return;
    // A copy: a listener may take itself or others off while it runs.
    for (const listener of [...listeners.keys()]) this.emitTo(event, listener, ...values);
  }

  /** Emits to one listener, if it is still registered. */
  emitTo<K extends keyof Events>(
    event: K,
    listener: Listener<Events, K>,
    ...values: Events[K]
  ): void {
    const registration = this.#listeners[event]?.get(listener);
    if (!registration) return;
    if (registration.once) this.off(event, listener);
    try {
      listener(...values);
    } catch (error) {
      report(error);
    }
  }
}

/** Hands an error to the platform's handler of uncaught errors. */
function report(error: unknown): void {
  if (typeof globalThis.reportError === 'function') globalThis.reportError(error);
  else
    queueMicrotask(() => {
      throw error;
    });
}
