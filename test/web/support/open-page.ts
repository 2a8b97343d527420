import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { expect } from 'vitest';
import type { ManagedSandbox } from '../../../client/managed-sandbox.ts';

/** The workspace page of a sandbox, in a browser context of its own. */
export type OpenPage = {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Everything that the browser complained about. */
  readonly complaints: readonly string[];
  /** The text of the screen, without the breaks between its lines. */
  screen(): Promise<string>;
  /** Waits until the screen has a text. */
  shows(text: string | RegExp): Promise<void>;
} & AsyncDisposable;

const PATIENCE_MS = 20_000;

/** Opens the page in a browser that a magic link signs in. */
export async function openPage(
  browser: Browser,
  sandbox: ManagedSandbox,
  options: BrowserContextOptions = {},
): Promise<OpenPage> {
  const link = await sandbox.magicLink.create({ description: 'page' });
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(link.url);
  await page.getByRole('button').click();
  await page.waitForURL(`**/workspace/${sandbox.id}`);
  const screen = async () => (await page.locator('.xterm-rows').textContent()) ?? '';
  return {
    page,
    context,
    complaints,
    screen,
    shows: async (text) => {
      await expect.poll(screen, { timeout: PATIENCE_MS }).toMatch(text);
    },
    [Symbol.asyncDispose]: () => context.close(),
  };
}

/** Pastes a text as the clipboard would. */
export async function paste(page: Page, text: string): Promise<void> {
  await page.locator('.xterm-helper-textarea').evaluate((textarea, pasted) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', pasted);
    textarea.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }));
  }, text);
}

/** Keeps a picture of the page where COMPUTESDK_SCREENSHOTS names a folder. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env['COMPUTESDK_SCREENSHOTS'];
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` });
}
