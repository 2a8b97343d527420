import type { TerminalSize } from 'computesdk/client';

/** A screen whose size can be chosen. */
export interface SizedScreen {
  readonly size: TerminalSize;
  fittingSize(): TerminalSize | undefined;
  resize(size: TerminalSize): void;
  afterOutput(action: () => void): void;
}

/** A terminal of the sandbox, as far as its size goes. */
export interface SizedTerminal {
  readonly cols: number;
  readonly rows: number;
  resize(cols: number, rows: number): Promise<void>;
}

/**
 * Keeps terminal and screen at one size. The viewer that was used last decides which: this one
 * claims the size that fits it when it is looked at, used, or its window changes, and follows others
 * at any other time. A page that nobody sees never claims.
 */
export class SizeKeeper {
  readonly #screen: SizedScreen;
  readonly #isVisible: () => boolean;
  #terminal: SizedTerminal | undefined;
  /** Whether the size is another viewer's. */
  #isForeign = false;
  /** Whether we may only watch. */
  #isWatching = false;

  constructor(screen: SizedScreen, isVisible: () => boolean) {
    this.#screen = screen;
    this.#isVisible = isVisible;
  }

  /** The terminal that the screen shows from now on. */
  set terminal(terminal: SizedTerminal | undefined) {
    this.#terminal = terminal;
    this.#isForeign = false;
    this.#isWatching = false;
    this.claim();
  }

  /** Makes the size what fits this page. */
  claim(): void {
    const size = this.#isVisible() ? this.#screen.fittingSize() : undefined;
    if (!size || this.#isWatching) return;
    this.#isForeign = false;
    this.#screen.resize(size);
    const terminal = this.#terminal;
    if (!terminal || (terminal.cols === size.cols && terminal.rows === size.rows)) return;
    terminal.resize(size.cols, size.rows).catch((error: unknown) => {
      // Other failures are repaired by the next claim.
      if (isDenial(error) && terminal === this.#terminal) this.#watch(terminal);
    });
  }

  /** The page is used. */
  use(): void {
    if (this.#isForeign) this.claim();
  }

  /** The terminal's size changed at this point of its output, by us or by another viewer. */
  follow(size: TerminalSize): void {
    this.#screen.afterOutput(() => {
      this.#screen.resize(size);
      const fitting = this.#screen.fittingSize();
      this.#isForeign = fitting?.cols !== size.cols || fitting.rows !== size.rows;
    });
  }

  /** Shows the terminal at the size that others give it. */
  #watch({ cols, rows }: SizedTerminal): void {
    this.#isWatching = true;
    this.#screen.resize({ cols, rows });
  }
}

function isDenial(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'permission_denied';
}
