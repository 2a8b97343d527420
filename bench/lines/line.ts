import { deferred } from '../../server/core/deferred.ts';

/** A program on a pseudo terminal, somewhere. */
export interface Program {
  /** Gets all that the program prints from now on. One at a time. */
  onData: (bytes: Uint8Array) => void;
  /** Types. */
  write(data: string): void;
  /** Ends the program. */
  close(): Promise<void>;
}

/** A program whose output is held until somebody takes it: it may come before anybody can. */
export class HeldProgram implements Program {
  readonly write: (data: string) => void;
  readonly close: () => Promise<void>;
  #held: Uint8Array[] = [];
  #onData = (bytes: Uint8Array): void => void this.#held.push(bytes);

  constructor({ write, close }: Pick<Program, 'write' | 'close'>) {
    this.write = write;
    this.close = close;
  }

  get onData(): (bytes: Uint8Array) => void {
    return this.#onData;
  }

  set onData(listener: (bytes: Uint8Array) => void) {
    this.#onData = listener;
    for (const bytes of this.#held.splice(0)) listener(bytes);
  }
}

/** One of the ways to a pseudo terminal that are compared. */
export interface Line {
  readonly name: string;
  /** Runs a command of `sh` on a new pseudo terminal, in a directory that all runs of a line share. */
  run(command: string): Promise<Program>;
  close(): Promise<void>;
}

/** Said by programs when they are ready for input. */
const READY = '~ready~';
const PATIENCE_MS = 60_000;

/** Runs a command that says when it is ready, and waits for that. */
export async function runUntilReady(
  line: Line,
  { before = '', main }: { readonly before?: string; readonly main: string },
): Promise<Program> {
  // In two pieces: an echo of the command must not look like what it prints.
  const program = await line.run(`${before}\nprintf '~rea'; printf 'dy~'\n${main}`);
  await seen(program, READY, line.name);
  return program;
}

/** Resolves with the number of bytes up to this text, which must be the last that is printed. */
export function seen(program: Program, text: string, where = ''): Promise<number> {
  const { promise, resolve, reject } = deferred<number>();
  let [bytes, tail] = [0, ''];
  const late = setTimeout(
    () => reject(new Error(`${where}: not printed within ${PATIENCE_MS} ms: ${text}, but ${tail}`)),
    PATIENCE_MS,
  );
  program.onData = (data) => {
    bytes += data.length;
    tail = (tail + Buffer.from(data.subarray(-text.length)).toString('latin1')).slice(-200);
    if (!tail.endsWith(text)) return;
    clearTimeout(late);
    program.onData = () => {};
    resolve(bytes);
  };
  return promise;
}
