import {
  appendFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { SeededRandom } from './scale.ts';

/** Few names, so that operations meet: files where directories were, names that come back. */
const NAMES = ['a', 'b.txt', 'größe', '名前', 'with space', '🙂', '.hidden'];
const MAX_DEPTH = 4;

/** Does to a directory what programs do, at random. */
export class RandomTree {
  readonly #root: string;
  readonly #random: SeededRandom;
  #lastContent = 0;

  constructor(root: string, random: SeededRandom) {
    this.#root = root;
    this.#random = random;
  }

  /** One operation. False if the file system refused it: a file has no children, and so on. */
  step(): boolean {
    try {
      this.#operate(this.#random.below(100));
      return true;
    } catch {
      return false;
    }
  }

  #operate(choice: number): void {
    const path = this.#path();
    if (choice < 35) this.#write(path);
    else if (choice < 50) appendFileSync(path, this.#content());
    else if (choice < 60) mkdirSync(path, { recursive: true });
    else if (choice < 75) renameSync(path, this.#path());
    else if (choice < 88) rmSync(path, { recursive: true });
    else if (choice < 93)
      symlinkSync(this.#random.chance(0.5) ? 'nowhere' : (NAMES[0] ?? ''), path);
    else if (choice < 97) this.#replace(path);
    else utimesSync(path, 1_000_000_000, this.#random.below(1_000_000_000));
  }

  #write(path: string): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, this.#content());
  }

  /** As editors save. */
  #replace(path: string): void {
    const temporary = `${path}.tmp`;
    writeFileSync(temporary, this.#content());
    try {
      renameSync(temporary, path);
    } catch {
      rmSync(temporary);
    }
  }

  /** Often of the same length as the one before. */
  #content(): string {
    this.#lastContent += 1;
    return `content ${this.#lastContent}`.padEnd(20 + 5 * this.#random.below(3), '.');
  }

  #path(): string {
    const depth = 1 + this.#random.below(MAX_DEPTH);
    const names = Array.from(
      { length: depth },
      () => NAMES[this.#random.below(NAMES.length)] ?? '',
    );
    return join(this.#root, ...names);
  }
}
