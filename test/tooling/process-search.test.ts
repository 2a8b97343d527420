import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { processesOf } from './process-search.ts';

let directory = '';
let child: ChildProcess | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'search-'));
});

afterEach(async () => {
  child?.kill('SIGKILL');
  if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  child = undefined;
  rmSync(directory, { recursive: true, force: true });
});

test('finds a program by its command', async () => {
  await start(['sh', '-c', `echo; read wait; : ${directory}`], { env: {} });
  expect(evidence()).toEqual(['command']);
});

test('finds a program by its environment', async () => {
  await start(['sh', '-c', 'echo; read wait'], { env: { HOME: directory } });
  expect(evidence()).toEqual(['environment']);
});

test('finds a program by its working directory', async () => {
  await start(['sh', '-c', 'echo; read wait'], { env: {}, cwd: directory });
  expect(evidence()).toEqual(['working directory']);
});

test('finds nothing once the program has ended', async () => {
  await start(['sh', '-c', 'echo; read wait'], { env: {}, cwd: directory });
  child?.stdin?.end();
  if (child) await once(child, 'exit');
  expect(evidence()).toEqual([]);
});

async function start(
  [program = '', ...args]: readonly string[],
  options: { readonly env: Record<string, string>; readonly cwd?: string },
): Promise<void> {
  // Without PATH in its environment a program is looked up in the system's default one.
  child = spawn(`/bin/${program}`, args, { ...options, stdio: ['pipe', 'pipe', 'ignore'] });
  if (child.stdout) await once(child.stdout, 'data');
}

function evidence(): string[] {
  return processesOf(directory).map((found) => found.evidence);
}
