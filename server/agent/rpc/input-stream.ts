import type { StreamTerminalInputRequest } from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import { type Deferred, deferred } from '../../core/deferred.ts';

/** Inputs that wait for their answers. Beyond, the stream is not read on. */
const MAX_UNANSWERED = 256;

/** An input that was applied. */
export type Applied = { readonly duplicate: boolean };
/** What became of an input, or of the stream of them. */
type Outcome = Applied | { readonly error: unknown };
type Input = { readonly sequence: bigint; outcome?: Outcome };
type Answer = { readonly sequence: bigint; readonly duplicate: boolean };

const DONE = { done: true, value: undefined } as const;

/**
 * Applies the inputs of one stream as they come, and answers each in its turn, when it was applied.
 * Reading the answers throws what an input, or the stream, is refused with. Not a generator: it would cost
 * each key five more promises.
 */
export class InputAnswers implements AsyncIterableIterator<Answer> {
  readonly #apply: (request: StreamTerminalInputRequest) => Promise<Applied>;
  readonly #signal: AbortSignal;
  readonly #unanswered: Input[] = [];
  /** What the stream of inputs came to, once it did. */
  #end: Outcome | undefined;
  /** Whoever waits for an answer. */
  #reader: Deferred<IteratorResult<Answer>> | undefined;
  /** Resolves when the stream may be read on. */
  #room: Deferred<void> | undefined;
  /** An input may wait for ever for one before it. */
  readonly #stop = () => this.#proceed();

  constructor(
    requests: AsyncIterable<StreamTerminalInputRequest>,
    apply: (request: StreamTerminalInputRequest) => Promise<Applied>,
    signal: AbortSignal,
  ) {
    this.#apply = apply;
    this.#signal = signal;
    signal.addEventListener('abort', this.#stop, { once: true });
    void this.#read(requests);
  }

  next(): Promise<IteratorResult<Answer>> {
    this.#reader = deferred();
    const { promise } = this.#reader;
    this.#proceed();
    return promise;
  }

  async return(): Promise<IteratorResult<Answer>> {
    this.#signal.removeEventListener('abort', this.#stop);
    this.#end ??= { duplicate: false };
    this.#room?.resolve();
    return DONE;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #read(requests: AsyncIterable<StreamTerminalInputRequest>): Promise<void> {
    try {
      for await (const request of requests) {
        if (this.#end) return;
        this.#take(request);
        if (this.#unanswered.length < MAX_UNANSWERED) continue;
        this.#room = deferred();
        await this.#room.promise;
      }
      this.#end ??= { duplicate: false };
    } catch (error) {
      this.#end ??= { error };
    }
    this.#proceed();
  }

  #take(request: StreamTerminalInputRequest): void {
    const input: Input = { sequence: request.sequence };
    this.#unanswered.push(input);
    const settle = (outcome: Outcome) => {
      input.outcome = outcome;
      this.#proceed();
    };
    this.#apply(request).then(settle, (error: unknown) => settle({ error }));
  }

  /** Answers whoever waits, if there is something to answer. */
  #proceed(): void {
    const reader = this.#reader;
    const [first] = this.#unanswered;
    const outcome = this.#signal.aborted
      ? { error: this.#signal.reason }
      : first
        ? first.outcome
        : this.#end;
    if (!reader || !outcome) return;
    this.#reader = undefined;
    if ('error' in outcome) {
      void this.return();
      reader.reject(outcome.error);
    } else if (!first) {
      void this.return();
      reader.resolve(DONE);
    } else {
      this.#unanswered.shift();
      this.#room?.resolve();
      reader.resolve({ done: false, value: { sequence: first.sequence, ...outcome } });
    }
  }
}
