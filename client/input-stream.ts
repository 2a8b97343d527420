import type { Client } from '@connectrpc/connect';
import type { TerminalService } from '../gen/computesdk/v1/terminal_service_pb.ts';
import { type LinkedController, linkController } from './connection/abort.ts';
import type { Clock, Timer } from './connection/clock.ts';
import type { NumberedInput } from './connection/input-queue.ts';
import { isNetworkFailure, toSandboxError } from './errors.ts';

/** A stream without input is ended after this long, in milliseconds. */
const IDLE_MS = 10_000;

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
  #waiting: NumberedInput[] = [];
  /** Tells the call that there is more, or that nothing follows. */
  #wake: () => void = () => {};
  #idle: Timer | undefined;
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
    this.#idle?.clear();
    this.#idle = undefined;
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

  async *#requests() {
    const { terminalId, writerId } = this.#parts;
    let names = { terminalId, writerId };
    while (!this.#isOver) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const { sequence, data } of waiting) {
        yield { ...names, sequence: BigInt(sequence), data };
        names = { terminalId: '', writerId: '' };
      }
      if (this.#waiting.length > 0) continue;
      if (this.#isFinished) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #onApplied(sequence: number): void {
    this.#sent.get(sequence)?.(true);
    this.#sent.delete(sequence);
    if (this.#sent.size > 0) return;
    this.#idle ??= this.#parts.clock.setTimer(() => this.#finish(), IDLE_MS, { background: true });
  }

  #finish(): void {
    this.#isFinished = true;
    this.#wake();
  }
}
