import { ConnectError, type Transport } from '@connectrpc/connect';
import { newGate } from '../../../client/connection/gate.ts';

/** What happens to one unary call. */
export type UnaryFate = 'pass' | 'lose_request' | 'lose_response' | 'duplicate' | 'black_hole';

/** A network between a client and a transport that a test can break. */
export class FaultyNetwork {
  /** Nothing gets through; calls fail at once. */
  isDown = false;
  /** Nothing gets through and nothing says so. */
  isBlackHole = false;
  /** Decides about each unary call by its method's name. */
  unaryFate: (method: string) => UnaryFate = () => 'pass';
  /** Names of the methods that were called, in order. */
  readonly calls: string[] = [];
  readonly #cuts = new Set<() => void>();
  readonly #held = new Map<string, Promise<void>>();

  /** Live streams. */
  get streams(): number {
    return this.#cuts.size;
  }

  /** Holds the next call of a method back until it is let go, or made to fail. */
  holdUnary(method: string): { pass(): void; fail(): void } {
    const held = newGate();
    this.#held.set(method, held.passed);
    return { pass: () => held.open(), fail: () => held.fail(networkError()) };
  }

  callsOf(method: string): number {
    return this.calls.filter((name) => name === method).length;
  }

  /** Breaks every live stream. Returns how many there were. */
  cutStreams(): number {
    const cuts = [...this.#cuts];
    for (const cut of cuts) cut();
    return cuts.length;
  }

  through(inner: Transport): Transport {
    return {
      unary: async (...args) => {
        const [method, signal] = args;
        this.calls.push(method.name);
        const held = this.#held.get(method.name);
        this.#held.delete(method.name);
        await held;
        const fate = this.unaryFate(method.name);
        if (this.isBlackHole || fate === 'black_hole') await silence(signal);
        if (this.isDown || fate === 'lose_request') throw networkError();
        const answer = inner.unary(...args);
        if (fate === 'duplicate') await inner.unary(...args).catch(() => {});
        const result = await answer;
        if (fate === 'lose_response') throw networkError();
        return result;
      },
      stream: async (...args) => {
        const [method, signal] = args;
        this.calls.push(method.name);
        if (this.isBlackHole) await silence(signal);
        if (this.isDown) throw networkError();
        const server = new AbortController();
        signal?.addEventListener('abort', () => server.abort());
        const [, , ...rest] = args;
        const response = await inner.stream(method, server.signal, ...rest);
        return { ...response, message: this.#cuttable(response.message, server, signal) };
      },
    };
  }

  async *#cuttable<T>(
    messages: AsyncIterable<T>,
    server: AbortController,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<T> {
    let cut: () => void = () => {};
    const broken = new Promise<never>((_resolve, reject) => {
      cut = () => {
        reject(networkError());
        server.abort();
      };
    });
    broken.catch(() => {});
    this.#cuts.add(cut);
    // A generator that nobody pulls any more never reaches its `finally`.
    signal?.addEventListener('abort', () => this.#cuts.delete(cut));
    const iterator = messages[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = iterator.next();
        next.catch(() => {});
        const result = await Promise.race([next, broken]);
        if (this.isBlackHole) await silence(signal);
        if (result.done) return;
        yield result.value;
      }
    } finally {
      this.#cuts.delete(cut);
    }
  }
}

function networkError(): ConnectError {
  return ConnectError.from(new TypeError('fetch failed'));
}

/** Never answers; a caller that gives up gets its abort. */
function silence(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    const onAbort = (): void => reject(ConnectError.from(signal?.reason));
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort);
  });
}
