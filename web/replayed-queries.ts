import type { IFunctionIdentifier, Terminal } from '@xterm/xterm';

/** Questions of programs to their terminal that xterm.js answers by typing. */
const CSI_QUERIES: readonly IFunctionIdentifier[] = [
  // Where is the cursor, what are you, which mode is set, how large are you.
  { final: 'n' },
  { prefix: '?', final: 'n' },
  { final: 'c' },
  { prefix: '>', final: 'c' },
  { intermediates: '$', final: 'p' },
  { prefix: '?', intermediates: '$', final: 'p' },
  { final: 't' },
];
const DCS_QUERIES: readonly IFunctionIdentifier[] = [{ intermediates: '$', final: 'q' }];
/** Colours: with a `?` in place of a colour they ask. */
const OSC_COLORS = [4, 10, 11, 12];
/** Focus comes or goes. xterm.js says so at once when a program begins to want to know. */
const FOCUS_REPORTS: readonly string[] = ['\x1b[I', '\x1b[O'];

/**
 * Keeps the terminal emulator from answering questions in replayed output: the program that asked
 * has its answer or is gone, and whoever reads now would take another one for typed input.
 */
export class ReplayedQueries {
  /** Whether what the emulator parses just now is replayed. */
  #isReplay = false;

  constructor(terminal: Pick<Terminal, 'parser'>) {
    const { parser } = terminal;
    // True: the sequence is done, nobody else gets it.
    const isOver = () => this.#isReplay;
    for (const query of CSI_QUERIES) parser.registerCsiHandler(query, isOver);
    for (const query of DCS_QUERIES) parser.registerDcsHandler(query, isOver);
    for (const color of OSC_COLORS) {
      parser.registerOscHandler(color, (text) => this.#isReplay && /(^|;)\?/.test(text));
    }
  }

  /** The emulator parses replayed output from now on, or not any more. */
  set isReplay(value: boolean) {
    this.#isReplay = value;
  }

  /** Whether what the emulator typed is its answer to replayed output. */
  isAnswer(typed: string): boolean {
    return this.#isReplay && FOCUS_REPORTS.includes(typed);
  }
}
