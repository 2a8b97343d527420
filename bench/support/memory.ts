import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestGateway } from '../../test/support/gateway.ts';
import { residentBytes } from '../../test/support/processes.ts';
import { until } from '../../test/support/until.ts';
import { startScript } from './script.ts';
import type { CpuProfile } from './top-functions.ts';

/** What a process holds, in bytes. */
export type Memory = {
  readonly resident: number;
  /** Objects and buffers, after garbage was collected. Undefined where nobody may ask. */
  readonly heap?: number;
};

const SCRIPT = join(import.meta.dirname, 'inspect.ts');
/** Where a debugger listens, if nothing else is said. In a network of its own it is free. */
const DEFAULT_PORT = 9229;

/** A Node.js process whose debugger listens. */
export type Debugger = {
  readonly pid: number;
  readonly port: number;
  /** What makes a command run where the port can be reached. */
  readonly prefix: readonly string[];
};

/** It says its port once, and only the end of what a gateway says is kept. */
const debuggers = new WeakMap<TestGateway, Promise<Debugger>>();

/** What the gateway holds. */
export async function gatewayMemory(gateway: TestGateway): Promise<Memory> {
  return await weigh(await gatewayDebugger(gateway));
}

/** What an agent holds. Only root may enter the network of its box and ask it. */
export async function agentMemory(pid: number): Promise<Memory> {
  if (process.getuid?.() !== 0) return { resident: residentBytes(pid) };
  return await weigh(await agentDebugger(pid));
}

/** The debugger of a gateway that was started with one on a free port. */
export function gatewayDebugger(gateway: TestGateway): Promise<Debugger> {
  const opened = debuggers.get(gateway) ?? openDebugger(gateway);
  debuggers.set(gateway, opened);
  return opened;
}

async function openDebugger(gateway: TestGateway): Promise<Debugger> {
  process.kill(gateway.pid, 'SIGUSR1');
  const listening = /Debugger listening on ws:\/\/[^/]*:(\d+)/;
  const port = await until(() => listening.exec(gateway.output)?.[1], {
    what: "the gateway's debugger",
  });
  return { pid: gateway.pid, port: Number(port), prefix: [] };
}

/** The debugger of an agent. For root only. */
export async function agentDebugger(pid: number): Promise<Debugger> {
  process.kill(pid, 'SIGUSR1');
  return { pid, port: DEFAULT_PORT, prefix: ['nsenter', '--target', String(pid), '--net'] };
}

/** Records for a time what a process does. The recording is also kept in a file. */
export async function recordProfile(
  { port, prefix }: Debugger,
  durationMs: number,
  file: string,
): Promise<CpuProfile> {
  const script = await startScript(SCRIPT, [String(port), String(durationMs), file], prefix);
  await script.ended;
  return JSON.parse(readFileSync(file, 'utf8'));
}

async function weigh({ pid, port, prefix }: Debugger): Promise<Memory> {
  const script = await startScript(SCRIPT, [String(port)], prefix);
  await script.close();
  const { heapUsed, external } = JSON.parse(script.said);
  return { resident: residentBytes(pid), heap: heapUsed + external };
}
