import { createHash, randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { findProcess, machineBootId, type ProcessIdentity } from './process-table.ts';

/** What identifies a box's processes to a later gateway process. */
export type BoxHandle = {
  /** Pids mean nothing after the machine was booted again. */
  readonly machineBoot: string;
  /** The first one's end is the end of all. */
  readonly processes: readonly ProcessIdentity[];
};

/** Environment variable by which the processes of a box are found again; its value is {@link boxMarker}. */
export const MARKER_VARIABLE = 'COMPUTESDK_BOX';

/** The driver's own copy of the handle, in the sandbox's directory. */
const HANDLE_FILE = 'box.json';
const MAX_HANDLE_PROCESSES = 8;

/** What marks the processes of the box in this directory. It says nothing about the host. */
export function boxMarker(directory: string): string {
  return createHash('sha256').update(resolve(directory)).digest('hex').slice(0, 32);
}

/** The handle of the processes with these pids, as text. Pids that are gone are left out. */
export async function captureHandle(pids: readonly number[]): Promise<string> {
  const found = await Promise.all(pids.map(findProcess));
  const processes = found
    .filter((entry) => entry !== undefined)
    .map(({ pid, startTicks }) => ({ pid, startTicks }));
  const handle: BoxHandle = { machineBoot: await machineBootId(), processes };
  return JSON.stringify(handle);
}

/** Keeps the handle beside the box, so that a gateway killed before it stored the handle leaves no orphan. */
export async function keepHandle(directory: string, handle: string): Promise<void> {
  const path = join(directory, HANDLE_FILE);
  const draft = `${path}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, handle, { mode: 0o600 });
  await rename(draft, path);
}

/** The processes that the handles of a box name, as far as this boot of the machine is meant. */
export async function handledProcesses(
  directory: string,
  handle: string | undefined,
): Promise<ProcessIdentity[]> {
  const kept = await readFile(join(directory, HANDLE_FILE), 'utf8').catch(() => '');
  const machineBoot = await machineBootId();
  return [handle ?? '', kept].flatMap((text) => {
    const parsed = parseHandle(text);
    return parsed?.machineBoot === machineBoot ? parsed.processes : [];
  });
}

/** The handle that `text` holds, or undefined when it is not one. */
function parseHandle(text: string): BoxHandle | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isHandle(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isHandle(value: unknown): value is BoxHandle {
  if (typeof value !== 'object' || value === null) return false;
  const { machineBoot, processes } = value as Record<string, unknown>; // Each is checked below.
  return (
    typeof machineBoot === 'string' &&
    Array.isArray(processes) &&
    processes.length <= MAX_HANDLE_PROCESSES &&
    processes.every(isIdentity)
  );
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startTicks } = value as Record<string, unknown>; // Each is checked below.
  return Number.isSafeInteger(pid) && Number(pid) > 1 && typeof startTicks === 'string';
}
