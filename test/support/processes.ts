import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { until } from './until.ts';

/** A process as /proc shows it. */
export type ProcessInfo = {
  readonly pid: number;
  readonly parent: number;
  readonly uid: number;
  readonly command: string;
  readonly cwd: string;
  /** Tells a process from a later one with the same pid. */
  readonly startTime: string;
  readonly state: string;
};

/** Every process of the machine, zombies included. */
export function listProcesses(): ProcessInfo[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => readProcess(Number(pid))).filter((info) => info !== undefined);
}

/** A process by its pid, or undefined once it is gone. */
export function readProcess(pid: number): ProcessInfo | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      pid,
      uid: statSync(`/proc/${pid}`).uid,
      command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim(),
      cwd: readLink(`/proc/${pid}/cwd`),
      state: fields[0] ?? '',
      parent: Number(fields[1]),
      startTime: fields[19] ?? '',
    };
  } catch {
    return undefined;
  }
}

/** Whether the environment that a process was started with holds this text. */
export function environmentHas(pid: number, text: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(text);
  } catch {
    return false;
  }
}

/** Resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  return statusBytes(pid, 'VmRSS');
}

/**
 * Resident memory that a process has for itself, in bytes. Of the program file, which all processes of
 * it share, 5 MB come in at once when V8's last compiler runs for the first time, now or later.
 */
export function anonymousBytes(pid: number): number {
  return statusBytes(pid, 'RssAnon');
}

function statusBytes(pid: number, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status);
  if (!match) throw new Error(`no ${name} for ${pid}`);
  return Number(match[1]) * 1024;
}

/** Waits until no live process passes the filter. Throws, with the list, when some stay. */
export async function expectNoProcess(
  what: string,
  filter: (info: ProcessInfo) => boolean,
  withinMs = 5_000,
): Promise<void> {
  const left = () => listProcesses().filter((info) => info.state !== 'Z' && filter(info));
  try {
    await until(() => left().length === 0, { what, withinMs });
  } catch {
    const lines = left().map((info) => `  ${info.pid} (uid ${info.uid}) ${info.command}`);
    if (lines.length > 0) throw new Error(`${what}: still there\n${lines.join('\n')}`);
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
