import { readdirSync, readFileSync } from 'node:fs';

/** A process as the kernel shows it. */
export type ProcessEntry = {
  readonly pid: number;
  /** It has ended, and waits for its parent to notice. */
  readonly isDead: boolean;
  readonly parent: number;
  readonly session: number;
  /** The value of the variable that marks processes of a terminal, as they were started; empty if none. */
  readonly mark: string;
};

/** Processes read before other work gets its turn: about a millisecond. */
const BATCH = 16;

/** Lists processes. Whoever asks while a list is being made shares the next one. */
export class ProcessTable {
  readonly #variable: string;
  #current: Promise<ProcessEntry[]> = Promise.resolve([]);
  #next: Promise<ProcessEntry[]> | undefined;

  /** `variable` names the environment variable that marks processes. */
  constructor(variable: string) {
    this.#variable = variable;
  }

  /** Every process that this one can see, itself excepted. The list is begun after the call. */
  list(): Promise<ProcessEntry[]> {
    this.#next ??= this.#current.then(() => {
      this.#next = undefined;
      this.#current = this.#read();
      return this.#current;
    });
    return this.#next;
  }

  async #read(): Promise<ProcessEntry[]> {
    const entries: ProcessEntry[] = [];
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    for (const [index, name] of pids.entries()) {
      if (index % BATCH === BATCH - 1) await new Promise((resolve) => setImmediate(resolve));
      const pid = Number(name);
      const entry = pid === process.pid ? undefined : this.#readOne(pid);
      if (entry) entries.push(entry);
    }
    return entries;
  }

  #readOne(pid: number): ProcessEntry | undefined {
    const fields = readStat(pid);
    if (!fields) return undefined;
    const [state, parent, , session] = fields;
    const isDead = state === 'Z' || state === 'X';
    const mark = isDead ? '' : this.#readMark(pid);
    return { pid, isDead, parent: Number(parent), session: Number(session), mark };
  }

  #readMark(pid: number): string {
    try {
      const environment = `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`;
      const start = environment.indexOf(`\0${this.#variable}=`);
      if (start < 0) return '';
      return environment.slice(start + this.#variable.length + 2).split('\0', 1)[0] ?? '';
    } catch {
      return '';
    }
  }
}

/** The process group that the terminal of a session's leader talks to; the leader's own if none. */
export function foregroundGroup(leader: number): number {
  const group = Number(readStat(leader)?.[5]);
  return group > 0 ? group : leader;
}

/** The fields after the program's name, which may hold anything: state, parent, group, session, tty, foreground group … */
function readStat(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
