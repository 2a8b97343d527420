/** Calls `onWake` whenever the platform hints that the network may be back. Returns how to stop. */
export type WakeSignals = (onWake: () => void) => () => void;

/** The hints a page gets: online again, visible again, restored, resumed. Outside of one, none. */
export const pageWakeSignals: WakeSignals = (onWake) => {
  const page = typeof document === 'undefined' ? undefined : document;
  const scope = typeof addEventListener === 'function' ? globalThis : undefined;
  const onVisibility = (): void => {
    if (page?.visibilityState === 'visible') onWake();
  };
  scope?.addEventListener('online', onWake);
  scope?.addEventListener('pageshow', onWake);
  page?.addEventListener('visibilitychange', onVisibility);
  page?.addEventListener('resume', onWake);
  return () => {
    scope?.removeEventListener('online', onWake);
    scope?.removeEventListener('pageshow', onWake);
    page?.removeEventListener('visibilitychange', onVisibility);
    page?.removeEventListener('resume', onWake);
  };
};

/** Listens to the platform's hints as long as somebody holds it. */
export class Wakefulness {
  readonly #signals: WakeSignals;
  readonly #onWake: () => void;
  #holders = 0;
  #stop: (() => void) | undefined;

  constructor(signals: WakeSignals, onWake: () => void) {
    this.#signals = signals;
    this.#onWake = onWake;
  }

  /** Holds it until the returned function is called, once. */
  hold(): () => void {
    this.#holders += 1;
    this.#stop ??= this.#signals(this.#onWake);
    return () => {
      this.#holders -= 1;
      if (this.#holders > 0) return;
      this.#stop?.();
      this.#stop = undefined;
    };
  }
}
