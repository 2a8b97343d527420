import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Client } from '@connectrpc/connect';
import type {
  StreamTerminalInputRequestSchema,
  TerminalService,
} from '../gen/computesdk/v1/terminal_service_pb.ts';
import { type LinkedController, linkController } from './connection/abort.ts';
import type { Clock, Timer } from './connection/clock.ts';
import type { NumberedInput } from './connection/input-queue.ts';
import { isNetworkFailure, toSandboxError } from './errors.ts';

/** A stream without input is ended after this long, in milliseconds. */
const IDLE_MS = 10_000;

const DONE = { done: true, value: undefined } as const;

type Request = MessageInitShape<typeof StreamTerminalInputRequestSchema>;

/** Whether an input was applied. If not, it is not known to have been. */
type OnOutcome = (isApplied: boolean) => void;

export type InputStreamParts = {
  readonly client: Client<typeof TerminalService>;
  readonly clock: Clock;
  readonly terminalId: string;
  readonly writerId: string;
  /** End the stream when they fire. */
  readonly signals: readonly AbortSignal[];
};

/** One call that carries the inputs of one writer, as long as it lasts. */
export class InputStream {
  readonly #parts: InputStreamParts;
  readonly #call: LinkedController;
  /** Inputs without an answer, by sequence, oldest first: as many as the queue has under way, 16. */
  readonly #sent = new Map<number, OnOutcome>();
  /** Inputs that the call has not taken yet. */
  readonly #waiting: NumberedInput[] = [];
  /** Tells the call that there is more, or that nothing follows. */
  #wake: () => void = () => {};
  #idle: Timer | undefined;
  /** When an input was last applied, in milliseconds of the clock. */
  #appliedAt = 0;
  #isFinished = false;
  #isOver = false;
  #wasRefused = false;

  constructor(parts: InputStreamParts) {
    this.#parts = parts;
    this.#call = linkController(...parts.signals);
    void this.#run();
  }

  /** Whether it takes input. */
  get isOpen(): boolean {
    return !this.#isFinished && !this.#isOver && !this.#call.signal.aborted;
  }

  /** Whether the server ended it. */
  get wasRefused(): boolean {
    return this.#wasRefused;
  }

  /** Sends input. Resolves with whether it was applied; if not, it is not known to have been. */
  send(input: NumberedInput): Promise<boolean> {
    this.#waiting.push(input);
    this.#wake();
    return new Promise((resolve) => this.#sent.set(input.sequence, resolve));
  }

  async #run(): Promise<void> {
    const { client } = this.#parts;
    try {
      const answers = client.streamTerminalInput(this.#requests(), { signal: this.#call.signal });
      for await (const { sequence } of answers) this.#onApplied(Number(sequence));
      this.#wasRefused = !this.#isFinished;
    } catch (error) {
      // Why it was refused is told to whoever repeats the input.
      this.#wasRefused = !isNetworkFailure(toSandboxError(error)) && !this.#call.signal.aborted;
    }
    this.#isOver = true;
    this.#idle?.clear();
    this.#call.unlink();
    this.#call.abort();
    this.#wake();
    for (const onOutcome of this.#sent.values()) onOutcome(false);
    this.#sent.clear();
  }

  /** Not a generator: it would cost each key three more promises. */
  #requests(): AsyncIterable<Request> {
    const { terminalId, writerId } = this.#parts;
    let names = { terminalId, writerId };
    const take = (): IteratorResult<Request> | undefined => {
      const input = this.#isOver ? undefined : this.#waiting.shift();
      if (!input) return this.#isOver || this.#isFinished ? DONE : undefined;
      const value = { ...names, sequence: BigInt(input.sequence), data: input.data };
      names = { terminalId: '', writerId: '' };
      return { done: false, value };
    };
    const wait = () =>
      new Promise<IteratorResult<Request>>((resolve) => {
        this.#wake = () => {
          const request = take();
          if (!request) return;
          this.#wake = () => {};
          resolve(request);
        };
      });
    const next = () => {
      const request = take();
      return request ? Promise.resolve(request) : wait();
    };
    // Connect's transports insist on both; the end of the call is the end of this.
    const stop = async () => DONE;
    return { [Symbol.asyncIterator]: () => ({ next, return: stop, throw: stop }) };
  }

  #onApplied(sequence: number): void {
    this.#sent.get(sequence)?.(true);
    this.#sent.delete(sequence);
    this.#appliedAt = this.#parts.clock.now();
    this.#idle ??= this.#setIdleTimer(IDLE_MS);
  }

  /** One for many keys: to clear it and set another costs each more than it does. */
  #setIdleTimer(delayMs: number): Timer {
    return this.#parts.clock.setTimer(() => this.#onIdleTime(), delayMs, { background: true });
  }

  #onIdleTime(): void {
    const isQuiet = this.#sent.size === 0;
    const leftMs = isQuiet ? this.#appliedAt + IDLE_MS - this.#parts.clock.now() : IDLE_MS;
    if (leftMs > 0) {
      this.#idle = this.#setIdleTimer(leftMs);
      return;
    }
    this.#isFinished = true;
    this.#wake();
  }
}
