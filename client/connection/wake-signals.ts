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
