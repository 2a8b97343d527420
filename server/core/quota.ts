import { DomainError } from './domain-error.ts';

/** Counts the uses of a thing against a limit. */
export class Quota {
  readonly #limit: number;
  readonly #what: string;
  #used = 0;

  /** `what` names the things in the refusal, for example `streams in this sandbox`. */
  constructor(limit: number, what: string) {
    this.#limit = limit;
    this.#what = what;
  }

  /** How many are in use. */
  get used(): number {
    return this.#used;
  }

  /** Takes one and returns what gives it back, once. Throws LIMIT_REACHED when none is left. */
  acquire(): () => void {
    if (this.#used >= this.#limit) {
      throw new DomainError(
        'LIMIT_REACHED',
        `the limit of ${this.#limit} ${this.#what} is reached`,
      );
    }
    this.#used += 1;
    let held = true;
    return () => {
      if (held) this.#used -= 1;
      held = false;
    };
  }
}
