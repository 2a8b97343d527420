import type { Clock } from '../../core/clock.ts';
import { type Deferred, deferred } from '../../core/deferred.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { newId } from '../../core/id.ts';
import type { Actor } from '../../core/principal.ts';
import type { TerminalLimits } from './limits.ts';

/** Where input goes. */
export interface InputTarget {
  /** Bytes that wait for the program. */
  readonly pendingInputBytes: number;
  /** Undefined: the program's terminal took the input. Else it resolves when that did. */
  write(data: Uint8Array): Promise<void> | undefined;
}

export type NumberedInput = {
  readonly writerId: string;
  readonly actor: Actor;
  /** From 1 on, without holes. */
  readonly sequence: number;
  readonly data: Uint8Array;
};

/** How soon to try again when too much input waits. */
const RETRY_AFTER_MS = 50;

type Held = { readonly data: Uint8Array; readonly done: Deferred<void> };

type Writer = {
  readonly subject: string;
  /** Sequence of the next input to apply. Only grows. */
  next: number;
  /** Inputs whose predecessors have not all been applied, by sequence. */
  readonly held: Map<number, Held>;
  /** Inputs that were handed to the target and not yet taken, by sequence. */
  readonly applying: Map<number, Promise<void>>;
  /** The first input that was handed over and lost at the program's exit. */
  firstLost: number;
  /** Streams that carry its id. */
  streams: number;
  usedAt: number;
};

/** Applies the input of many writers, each one's exactly once and in the order of its numbers. */
export class WriterTable {
  readonly #clock: Clock;
  readonly #limits: TerminalLimits;
  readonly #target: InputTarget;
  readonly #writers = new Map<string, Writer>();
  /** Bytes in the `held` of all writers. */
  #heldBytes = 0;
  #exited = false;

  constructor(options: { clock: Clock; limits: TerminalLimits; target: InputTarget }) {
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#target = options.target;
  }

  /** Makes a writer, or finds the one of this id if it is the actor's. Throws LIMIT_REACHED. */
  open(actor: Actor, writerId = ''): string {
    if (this.#find(actor, writerId)) return writerId;
    this.#makeRoom();
    const id = newId('wrt');
    this.#writers.set(id, {
      ...{ subject: actor.subject, next: 1, held: new Map(), applying: new Map() },
      ...{ firstLost: Number.POSITIVE_INFINITY, streams: 0, usedAt: this.#clock.monotonic() },
    });
    return id;
  }

  /** Notes that a stream carries the writer's id. Returns what notes its end. */
  connect(writerId: string): () => void {
    const writer = this.#writers.get(writerId);
    if (!writer) return () => {};
    writer.streams += 1;
    return () => {
      writer.streams -= 1;
      writer.usedAt = this.#clock.monotonic();
    };
  }

  /** Applies input at once, unordered. */
  async writeUnnumbered(data: Uint8Array): Promise<void> {
    this.#checkSize(data);
    if (this.#exited) throw exited();
    this.#checkRoom(data.length);
    await this.#target.write(data);
  }

  /**
   * Applies input when its turn has come. Resolves when it was applied, with whether an earlier call
   * brought it. Throws WRITER_EXPIRED, EXITED, LIMIT_REACHED.
   */
  async write(input: NumberedInput): Promise<{ duplicate: boolean }> {
    const { sequence, data } = input;
    this.#checkSize(data);
    const writer = this.#find(input.actor, input.writerId);
    if (!writer) {
      throw new DomainError('WRITER_EXPIRED', 'writerId: the terminal does not know this writer', {
        field: 'writerId',
      });
    }
    writer.usedAt = this.#clock.monotonic();
    const earlier = writer.held.get(sequence)?.done.promise ?? writer.applying.get(sequence);
    if (earlier !== undefined || sequence < writer.next) {
      await earlier;
      if (sequence >= writer.firstLost) throw exited();
      return { duplicate: true };
    }
    if (this.#exited) throw exited();
    if (sequence >= writer.next + this.#limits.inFlight) {
      throw invalidArgument(
        'sequence',
        `is more than ${this.#limits.inFlight} beyond the last one applied`,
      );
    }
    if (sequence > writer.next) {
      await this.#hold(writer, sequence, data);
    } else {
      this.#checkRoom(data.length);
      const applied = this.#apply(writer, data);
      if (writer.held.size > 0) this.#applyHeld(writer);
      if (applied) await applied;
    }
    return { duplicate: false };
  }

  /** There is room for input again. */
  onRoom(): void {
    if (this.#heldBytes === 0) return;
    for (const writer of this.#writers.values()) this.#applyHeld(writer);
  }

  /** Refuses what waits and what comes: the program has exited. */
  close(): void {
    this.#exited = true;
    for (const writer of this.#writers.values()) this.#dropHeld(writer);
  }

  #find(actor: Actor, writerId: string): Writer | undefined {
    const writer = this.#writers.get(writerId);
    return writer && actor.subjects.includes(writer.subject) ? writer : undefined;
  }

  #apply(writer: Writer, data: Uint8Array): Promise<void> | undefined {
    const sequence = writer.next;
    writer.next += 1;
    const taken = this.#target.write(data);
    if (!taken) return undefined;
    const applied = taken
      .catch((error: unknown) => {
        writer.firstLost = Math.min(writer.firstLost, sequence);
        throw error;
      })
      .finally(() => writer.applying.delete(sequence));
    writer.applying.set(sequence, applied);
    // Its calls may all be gone when it fails.
    applied.catch(() => {});
    return applied;
  }

  async #hold(writer: Writer, sequence: number, data: Uint8Array): Promise<void> {
    if (this.#heldBytes + data.length > this.#limits.pendingInputBytes) {
      throw tooMuch('input waits for earlier input', this.#limits);
    }
    const done = deferred<void>();
    done.promise.catch(() => {});
    writer.held.set(sequence, { data, done });
    this.#heldBytes += data.length;
    await done.promise;
  }

  #applyHeld(writer: Writer): void {
    for (let held = writer.held.get(writer.next); held; held = writer.held.get(writer.next)) {
      if (!this.#hasRoom(held.data.length)) return;
      writer.held.delete(writer.next);
      this.#heldBytes -= held.data.length;
      const applied = this.#apply(writer, held.data);
      if (applied) applied.then(held.done.resolve, held.done.reject);
      else held.done.resolve();
    }
  }

  #dropHeld(writer: Writer): void {
    for (const [sequence, held] of writer.held) {
      writer.held.delete(sequence);
      this.#heldBytes -= held.data.length;
      held.done.reject(exited());
    }
  }

  #makeRoom(): void {
    if (this.#writers.size < this.#limits.writers) return;
    const { writerKeptMs, writers } = this.#limits;
    const now = this.#clock.monotonic();
    for (const [id, writer] of this.#writers) {
      if (writer.streams > 0 || now - writer.usedAt < writerKeptMs) continue;
      this.#dropHeld(writer);
      this.#writers.delete(id);
    }
    if (this.#writers.size < writers) return;
    throw new DomainError(
      'LIMIT_REACHED',
      `the limit of ${writers} writers of a terminal is reached`,
    );
  }

  #checkSize(data: Uint8Array): void {
    const { inputBytes } = this.#limits;
    if (data.length > inputBytes)
      throw invalidArgument('data', `must be at most ${inputBytes} bytes`);
  }

  #hasRoom(bytes: number): boolean {
    return this.#target.pendingInputBytes + bytes <= this.#limits.pendingInputBytes;
  }

  #checkRoom(bytes: number): void {
    if (!this.#hasRoom(bytes)) throw tooMuch('input waits for the program', this.#limits);
  }
}

function tooMuch(what: string, limits: TerminalLimits): DomainError {
  return new DomainError(
    'LIMIT_REACHED',
    `more than ${limits.pendingInputBytes} bytes of ${what}`,
    {
      field: 'data',
      retryAfterMs: RETRY_AFTER_MS,
    },
  );
}

function exited(): DomainError {
  return new DomainError('EXITED', 'the program of the terminal has exited');
}
