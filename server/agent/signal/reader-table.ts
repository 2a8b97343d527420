import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { newId } from '../../core/id.ts';
import type { Actor } from '../../core/principal.ts';
import type { SignalLimits } from './limits.ts';
import { SignalReader } from './signal-reader.ts';

/** The readers of a sandbox's signals. */
export class SignalReaders {
  readonly #clock: Clock;
  readonly #limits: SignalLimits;
  /** In the order of their last attach, so that the longest absent come first. */
  readonly #readers = new Map<string, SignalReader>();

  constructor(options: { clock: Clock; limits: SignalLimits }) {
    this.#clock = options.clock;
    this.#limits = options.limits;
  }

  /** The reader of that id if it is the actor's, else a new one. Throws LIMIT_REACHED. */
  open(actor: Actor, readerId: string): SignalReader {
    const known = this.#readers.get(readerId);
    if (known && actor.subjects.includes(known.subject)) {
      this.#readers.delete(known.id);
      this.#readers.set(known.id, known);
      return known;
    }
    const reader = this.#add(actor);
    // It was here once, and was forgotten since.
    if (readerId !== '') reader.gapReason = 'LEASE_EXPIRED';
    return reader;
  }

  /** Lets every stream look for news. */
  wake(): void {
    for (const { stream } of this.#readers.values()) stream?.wake();
  }

  /** Forgets all of them. */
  close(): void {
    for (const reader of this.#readers.values()) this.#forget(reader);
  }

  #add({ subject }: Actor): SignalReader {
    const { signalReaders } = this.#limits;
    if (this.#readers.size >= signalReaders) {
      const all = [...this.#readers.values()];
      const oldest = all.find(({ isExpired }) => isExpired) ?? all.find(({ stream }) => !stream);
      if (!oldest)
        throw new DomainError('LIMIT_REACHED', `the limit of ${signalReaders} readers is reached`);
      this.#forget(oldest);
    }
    const reader = new SignalReader({ id: newId('rdr'), subject, clock: this.#clock });
    this.#readers.set(reader.id, reader);
    return reader;
  }

  #forget(reader: SignalReader): void {
    const { stream } = reader;
    this.#readers.delete(reader.id);
    reader.release();
    stream?.close();
  }
}
