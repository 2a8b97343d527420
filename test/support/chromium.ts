import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * Starts a headless Chromium, with these flags beside the usual ones. The caller closes it. Throws,
 * saying what to install, where there is none.
 */
export async function launchChromium(flags: readonly string[] = []): Promise<Browser> {
  return await chromium.launch({ executablePath: chromiumPath(), args: [...FLAGS, ...flags] });
}

function chromiumPath(): string {
  const chosen = process.env['CHROMIUM_PATH'];
  if (chosen) return chosen;
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const paths = folders.flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const found = paths.find(isExecutable);
  if (!found) throw new Error('Chromium is missing: install it, or set CHROMIUM_PATH to its path');
  return found;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
