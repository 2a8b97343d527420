import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type BrowserContext, chromium } from 'playwright-core';

/** A real Chromium with a profile of its own. */
export interface TestBrowser extends AsyncDisposable {
  newPage: BrowserContext['newPage'];
}

const FLAGS = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-gpu',
  '--disable-quic',
  '--disable-sync',
  '--no-first-run',
  '--no-sandbox',
];

/** Starts the Chromium named by `CHROMIUM_PATH`, or the one in PATH. */
export async function startBrowser(): Promise<TestBrowser> {
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env['CHROMIUM_PATH'] ?? findInPath('chromium'),
    headless: true,
    args: FLAGS,
  });
  return {
    newPage: () => context.newPage(),
    [Symbol.asyncDispose]: () => context.close(),
  };
}

function findInPath(program: string): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const path = folders.map((folder) => join(folder, program)).find((one) => existsSync(one));
  if (!path) throw new Error(`${program} is not installed: run \`npm test\`, or set CHROMIUM_PATH`);
  return path;
}
