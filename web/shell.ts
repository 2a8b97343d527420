import type { Sandbox, SandboxError, Terminal, Unsubscribe } from 'computesdk/client';
import type { Screen } from './screen.ts';
import type { SizeKeeper } from './size-keeper.ts';
import { endWords, exitWords, gapWords, problemWords } from './terminal-words.ts';

/** How our terminals are called. */
const NAME = 'Shell';

/** What happens to the shell on the screen. */
export type ShellHooks = {
  onStarted(name: string): void;
  /** The shell is over; another one may be started. */
  onEnded(words: string): void;
  onProblem(words: string): void;
};

/** The terminal of the sandbox that the screen shows: one at a time. */
export class Shell {
  readonly #sandbox: Sandbox;
  readonly #screen: Screen;
  readonly #sizes: SizeKeeper;
  readonly #hooks: ShellHooks;
  #terminal: Terminal | undefined;
  #listening: readonly Unsubscribe[] = [];

  constructor(sandbox: Sandbox, screen: Screen, sizes: SizeKeeper, hooks: ShellHooks) {
    this.#sandbox = sandbox;
    this.#screen = screen;
    this.#sizes = sizes;
    this.#hooks = hooks;
  }

  /** Goes on with the newest shell that runs, or starts one. Never throws. */
  async resume(): Promise<void> {
    await this.#attempt(async () => {
      const running = newestRunning(await this.#sandbox.terminal.list());
      this.#show(running ?? (await this.#create()));
    });
  }

  /** Starts another shell. Never throws. */
  async startAnother(): Promise<void> {
    await this.#attempt(async () => this.#show(await this.#create()));
  }

  /** Passes on what was typed. A failure is told by the terminal's `error` event. */
  type(input: string | Uint8Array): void {
    this.#sizes.use();
    void this.#terminal?.write(input);
  }

  /** Shows nothing any more and takes no input. */
  close(): void {
    this.#screen.takesInput = false;
    for (const stop of this.#listening) stop();
    this.#listening = [];
    this.#terminal = undefined;
    this.#sizes.terminal = undefined;
  }

  async #attempt(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#hooks.onEnded(`The shell could not be started: ${problem}`);
    }
  }

  #create(): Promise<Terminal> {
    return this.#sandbox.terminal.create({ name: NAME, ...this.#screen.size });
  }

  #show(terminal: Terminal): void {
    this.close();
    this.#screen.clear();
    this.#screen.takesInput = true;
    this.#terminal = terminal;
    this.#listening = [
      terminal.on('data', (bytes, info) => this.#screen.write(bytes, info)),
      terminal.on('gap', (gap) => this.#screen.note(gapWords(gap))),
      terminal.on('resize', (size) => this.#sizes.follow(size)),
      terminal.on('exit', (exit) => this.#onEnded(exitWords(exit))),
      terminal.on('error', (error) => this.#onError(error)),
    ];
    this.#sizes.terminal = terminal;
    this.#hooks.onStarted(terminal.name || NAME);
  }

  #onError(error: SandboxError): void {
    const end = endWords(error);
    if (end !== undefined) {
      this.#onEnded(end);
      return;
    }
    const problem = problemWords(error);
    if (problem !== undefined) this.#hooks.onProblem(problem);
  }

  #onEnded(words: string): void {
    this.#screen.takesInput = false;
    this.#hooks.onEnded(words);
  }
}

/** The last of the terminals, oldest first, whose shell runs on a pseudo terminal. */
export function newestRunning<T extends Pick<Terminal, 'status' | 'cols'>>(
  terminals: readonly T[],
): T | undefined {
  return terminals.findLast(({ status, cols }) => status === 'running' && cols > 0);
}
