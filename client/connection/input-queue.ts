import { SandboxError, toSandboxError } from '../errors.ts';
import { waitFor } from './abort.ts';
import { type Gate, newGate } from './gate.ts';

/** The most bytes of one request. */
const MAX_REQUEST_BYTES = 65_536;
/** The most bytes that wait, sent or not, until the server says that it applied them. */
export const MAX_QUEUED_BYTES = 1024 * 1024;
/** The most writes that wait: each costs memory of its own, however short it is. */
const MAX_QUEUED_WRITES = 65_536;
/** How many requests are under way at once. The server holds 256. */
const MAX_IN_FLIGHT = 16;

/** A numbered piece of input. The same number always carries the same bytes. */
export type NumberedInput = {
  readonly writerId: string;
  /** From 1 on without holes. */
  readonly sequence: number;
  readonly data: Uint8Array;
};

/** How input reaches the server. Both retry by themselves; what they throw is final. */
export interface InputSink {
  send(input: NumberedInput, signal: AbortSignal): Promise<void>;
  /** Has the server issue a new writer. */
  newWriter(signal: AbortSignal): Promise<string>;
}

/** What a queue is made of. */
export type InputQueueOptions = {
  readonly sink: InputSink;
  /** Told once for each thing that went wrong, however many writes it concerns. */
  readonly onError: (error: SandboxError) => void;
  /** The writer that the terminal's creation issued. Absent: one is asked for when needed. */
  readonly writerId?: string;
  readonly maxInFlight?: number;
};

type Chunk = { readonly data: Uint8Array; sentBytes: number; readonly done: Gate };
type Batch = {
  readonly data: Uint8Array;
  readonly chunks: readonly Chunk[];
  readonly completed: readonly Chunk[];
};
/** One writer's life. What it sent is never sent by another. */
type Writer = { readonly id: string; lastSequence: number; readonly ended: AbortController };

/**
 * Input on its way to a terminal. Every request is numbered and repeated under the same number
 * until the server says that it is applied, so that it is applied once and in order whatever the
 * network does. Small writes that have to wait travel together.
 */
export class InputQueue {
  readonly #options: InputQueueOptions;
  readonly #maxInFlight: number;
  /** Accepted and not fully sent, oldest first. */
  #waiting: Chunk[] = [];
  /** Sent, at least partly, and not yet applied. */
  readonly #sent = new Set<Chunk>();
  /** Bytes of all chunks above; never more than MAX_QUEUED_BYTES. */
  #bytes = 0;
  #inFlight = 0;
  #writer: Writer | undefined;
  #isAskingForWriter = false;
  readonly #ending = new AbortController();
  #isFullTold = false;
  /** Why no more input is accepted. */
  #refused: SandboxError | undefined;

  constructor(options: InputQueueOptions) {
    this.#options = options;
    this.#maxInFlight = options.maxInFlight ?? MAX_IN_FLIGHT;
    if (options.writerId) this.#writer = newWriter(options.writerId);
  }

  /** The current writer, so that a stream can keep it alive. Empty: there is none. */
  get writerId(): string {
    return this.#writer?.id ?? '';
  }

  /** A stream was issued a writer on the way; taken if there is none yet. */
  offerWriter(id: string): void {
    if (id === '' || this.#writer || this.#isAskingForWriter || this.#refused) return;
    this.#writer = newWriter(id);
  }

  /**
   * Accepts bytes, which are the queue's from then on; resolves when they were applied. A signal
   * takes back what was not sent yet. The promise may be ignored: its rejection is never
   * unhandled, `onError` tells it too.
   */
  write(data: Uint8Array, signal?: AbortSignal): Promise<void> {
    const done = newGate();
    const chunk: Chunk = { data, sentBytes: 0, done };
    const refusal = this.#refusal(data);
    if (refusal) {
      done.fail(refusal);
      return done.passed;
    }
    if (data.byteLength === 0) {
      done.open();
      return done.passed;
    }
    this.#isFullTold = false;
    this.#bytes += data.byteLength;
    this.#waiting.push(chunk);
    this.#pump();
    if (!signal) return done.passed;
    const applied = this.#withSignal(chunk, signal);
    applied.catch(() => {});
    return applied;
  }

  /** Accepts no more input. What was accepted is still sent: the server knows what became of it. */
  refuse(error: SandboxError): void {
    this.#refused ??= error;
  }

  /** Accepts no more input, and everything that waits fails. */
  end(error: SandboxError): void {
    this.#refused = error;
    if (this.#ending.signal.aborted) return;
    this.#ending.abort(error);
    this.#writer?.ended.abort(error);
    this.#failAll(error);
  }

  #refusal(data: Uint8Array): SandboxError | undefined {
    if (this.#refused) return this.#refused;
    if (data.byteLength > MAX_QUEUED_BYTES) {
      const message = `data: ${data.byteLength} bytes, a write takes ${MAX_QUEUED_BYTES} at the most`;
      const error = new SandboxError('too_large', message, { field: 'data' });
      this.#options.onError(error);
      return error;
    }
    const writes = this.#waiting.length + this.#sent.size;
    const hasRoom = this.#bytes + data.byteLength <= MAX_QUEUED_BYTES;
    if (hasRoom && writes < MAX_QUEUED_WRITES) return undefined;
    const message =
      `data: ${this.#bytes} bytes in ${writes} writes wait already, ` +
      `at most ${MAX_QUEUED_BYTES} bytes in ${MAX_QUEUED_WRITES} writes may`;
    const error = new SandboxError('queue_full', message, { field: 'data' });
    if (!this.#isFullTold) this.#options.onError(error);
    this.#isFullTold = true;
    return error;
  }

  async #withSignal(chunk: Chunk, signal: AbortSignal): Promise<void> {
    try {
      await waitFor(chunk.done.passed, signal);
    } catch (error) {
      const index = this.#waiting.indexOf(chunk);
      if (index >= 0 && chunk.sentBytes === 0) {
        this.#waiting.splice(index, 1);
        this.#bytes -= chunk.data.byteLength;
      }
      throw error;
    }
  }

  #pump(): void {
    while (this.#inFlight < this.#maxInFlight && this.#waiting.length > 0) {
      if (!this.#writer) {
        if (!this.#isAskingForWriter) void this.#askForWriter();
        return;
      }
      this.#writer.lastSequence += 1;
      void this.#send(this.#writer, this.#writer.lastSequence, this.#takeBatch());
    }
  }

  /** The next request's bytes: as many waiting writes as fit, a large one cut. */
  #takeBatch(): Batch {
    const parts: Uint8Array[] = [];
    const chunks: Chunk[] = [];
    const completed: Chunk[] = [];
    let room = MAX_REQUEST_BYTES;
    for (const chunk of this.#waiting) {
      if (room === 0) break;
      const part = chunk.data.subarray(chunk.sentBytes, chunk.sentBytes + room);
      chunk.sentBytes += part.byteLength;
      room -= part.byteLength;
      parts.push(part);
      chunks.push(chunk);
      this.#sent.add(chunk);
      if (chunk.sentBytes === chunk.data.byteLength) completed.push(chunk);
    }
    this.#waiting.splice(0, completed.length);
    return { data: concatenate(parts, MAX_REQUEST_BYTES - room), chunks, completed };
  }

  async #send(writer: Writer, sequence: number, batch: Batch): Promise<void> {
    this.#inFlight += 1;
    try {
      const input = { writerId: writer.id, sequence, data: batch.data };
      await this.#options.sink.send(input, writer.ended.signal);
      for (const chunk of batch.completed) this.#settle(chunk);
    } catch (error) {
      this.#onRefused(writer, batch, toSandboxError(error));
    } finally {
      this.#inFlight -= 1;
    }
    this.#pump();
  }

  /**
   * The server will never apply this number, so it will not apply the numbers after it either:
   * the writer is done. What was typed before goes nowhere, what is typed later gets a new one.
   */
  #onRefused(writer: Writer, batch: Batch, cause: SandboxError): void {
    if (this.#writer !== writer) return;
    if (cause.code === 'exited') {
      // Other answers are under way, among them maybe that of the input that ended the program.
      this.refuse(cause);
      this.#fail(batch.chunks, cause);
      return;
    }
    this.#writer = undefined;
    const error = cause.code === 'writer_expired' ? outcomeUnknown(cause) : cause;
    writer.ended.abort(error);
    this.#options.onError(error);
    this.#failAll(error);
  }

  async #askForWriter(): Promise<void> {
    this.#isAskingForWriter = true;
    try {
      const id = await this.#options.sink.newWriter(this.#ending.signal);
      this.#writer = newWriter(id);
    } catch (error) {
      const failure = toSandboxError(error);
      if (!this.#ending.signal.aborted) this.#options.onError(failure);
      this.#failAll(failure);
    } finally {
      this.#isAskingForWriter = false;
    }
    this.#pump();
  }

  #settle(chunk: Chunk): void {
    // Gone already if the writer ended while this answer was on its way.
    if (!this.#sent.delete(chunk)) return;
    this.#bytes -= chunk.data.byteLength;
    chunk.done.open();
  }

  #fail(chunks: readonly Chunk[], error: SandboxError): void {
    for (const chunk of chunks) {
      if (!this.#sent.delete(chunk)) continue;
      this.#bytes -= chunk.data.byteLength;
      chunk.done.fail(error);
    }
  }

  #failAll(error: SandboxError): void {
    const chunks = new Set([...this.#sent, ...this.#waiting]);
    this.#waiting = [];
    this.#sent.clear();
    this.#bytes = 0;
    for (const chunk of chunks) chunk.done.fail(error);
  }
}

function newWriter(id: string): Writer {
  return { id, lastSequence: 0, ended: new AbortController() };
}

function outcomeUnknown(cause: SandboxError): SandboxError {
  const message = 'the server forgot this writer: whether the last input was applied is unknown';
  return new SandboxError('outcome_unknown', message, { cause });
}

function concatenate(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first) return first;
  const all = new Uint8Array(bytes);
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.byteLength;
  }
  return all;
}
