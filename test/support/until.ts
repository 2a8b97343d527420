/** How often a condition without an event of its own is looked at. */
const POLL_MS = 20;

export type UntilOptions = {
  /** What is waited for, for the error's message. */
  readonly what: string;
  readonly withinMs?: number;
};

/** Resolves with the first value that is neither false nor undefined. Rejects when time is up. */
export async function until<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  options: UntilOptions,
): Promise<T> {
  const withinMs = options.withinMs ?? 10_000;
  const deadline = performance.now() + withinMs;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${options.what}`);
    await delay(POLL_MS);
  }
}

/** Lets real time pass, for faults that consist of time: stalls, leases, black holes. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The promise's value, or an error that names what did not come in time. */
export async function within<T>(promise: Promise<T>, options: UntilOptions): Promise<T> {
  const withinMs = options.withinMs ?? 10_000;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not within ${withinMs} ms: ${options.what}`)),
      withinMs,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
