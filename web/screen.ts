import { FitAddon } from '@xterm/addon-fit';
import { Terminal as Emulator } from '@xterm/xterm';
import type { TerminalDataInfo, TerminalSize } from 'computesdk/client';
import { ReplayedQueries } from './replayed-queries.ts';
import { preferredTheme } from './themes.ts';

/** Lines that can be scrolled back to. */
const SCROLLBACK_LINES = 10_000;
const FONT = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace';

/** What happens at the screen. */
export type ScreenHooks = {
  /** Somebody typed or pasted, or the emulator answers the program. */
  onTyped(input: string | Uint8Array): void;
  /** The keyboard's way out of the terminal, which takes all other keys. */
  onLeave(): void;
};

/** The terminal emulator: shows what a program writes and tells what is typed. */
export class Screen {
  readonly #emulator: Emulator;
  readonly #fit = new FitAddon();
  readonly #queries: ReplayedQueries;

  constructor(host: HTMLElement, hooks: ScreenHooks) {
    const dark = matchMedia('(prefers-color-scheme: dark)');
    this.#emulator = new Emulator({
      cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
      fontFamily: FONT,
      fontSize: 14,
      minimumContrastRatio: 4.5,
      scrollback: SCROLLBACK_LINES,
      theme: preferredTheme(dark),
    });
    this.#queries = new ReplayedQueries(this.#emulator);
    this.#emulator.loadAddon(this.#fit);
    this.#emulator.open(host);
    this.#emulator.textarea?.setAttribute('aria-describedby', 'keys');
    dark.addEventListener('change', () => {
      this.#emulator.options.theme = preferredTheme(dark);
    });
    this.#emulator.onData((typed) => {
      if (!this.#queries.isAnswer(typed)) hooks.onTyped(typed);
    });
    this.#emulator.onBinary((typed) => hooks.onTyped(toBytes(typed)));
    this.#emulator.attachCustomKeyEventHandler((event) => {
      if (event.key !== 'F6' || !event.ctrlKey) return true;
      if (event.type === 'keydown') hooks.onLeave();
      event.preventDefault();
      return false;
    });
  }

  get size(): TerminalSize {
    return { cols: this.#emulator.cols, rows: this.#emulator.rows };
  }

  /** The size that fills the place on the page. Undefined while it has none. */
  fittingSize(): TerminalSize | undefined {
    const size = this.#fit.proposeDimensions();
    return size && Number.isFinite(size.cols) && Number.isFinite(size.rows) ? size : undefined;
  }

  resize({ cols, rows }: TerminalSize): void {
    if (cols !== this.#emulator.cols || rows !== this.#emulator.rows) {
      this.#emulator.resize(cols, rows);
    }
  }

  /** Shows output; the program waits for the screen. Its order with {@link afterOutput} is kept. */
  write(bytes: Uint8Array, { replay, hold }: TerminalDataInfo): void {
    const release = hold();
    if (replay) this.afterOutput(() => this.#parseAsReplay(true));
    this.#emulator.write(bytes, () => {
      this.#parseAsReplay(false);
      release();
    });
  }

  /** Shows a remark of ours on a line of its own. */
  note(text: string): void {
    this.#emulator.write(`\r\n\x1b[0;2m[${text}]\x1b[0m\r\n`);
  }

  /** Runs when all output so far is parsed. */
  afterOutput(action: () => void): void {
    this.#emulator.write('', action);
  }

  /** Empties the screen, when all output so far is parsed. */
  clear(): void {
    this.afterOutput(() => this.#emulator.reset());
  }

  /** Whether the keyboard does anything. */
  set takesInput(value: boolean) {
    this.#emulator.options.disableStdin = !value;
    this.#emulator.options.cursorInactiveStyle = value ? 'outline' : 'none';
    if (!value) this.#emulator.blur();
  }

  focus(): void {
    this.#emulator.focus();
  }

  #parseAsReplay(isReplay: boolean): void {
    this.#queries.isReplay = isReplay;
  }
}

/** Mouse reports of old programs: one byte a character. */
function toBytes(binary: string): Uint8Array {
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
