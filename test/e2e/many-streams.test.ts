import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConnectionState } from '../../client/connection/connection-state.ts';
import { launchChromium } from '../support/chromium.ts';
import { newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { servePage } from '../support/page.ts';

const TABS = 3;
const TERMINALS = 15;
/** How many pieces of live output each terminal shows before the calls, so that all run at once. */
const PIECES = 5;
/** Prints for ever, five times a second. */
const TICKING = { shell: '/bin/sh', args: ['-c', 'while :; do echo tick; sleep 0.2; done'] };

let gateway: TestGateway;
let browser: Browser;
let app: Awaited<ReturnType<typeof servePage>>;

beforeAll(async () => {
  gateway = await TestGateway.start();
  browser = await launchChromium();
  app = await servePage();
}, 60_000);
afterAll(async () => {
  await browser.close();
  await app[Symbol.asyncDispose]();
  await gateway.stop();
}, 60_000);

type Opened = { readonly url: string; readonly token: string };

/** Opens a tab, all of one browser, which share what it has per origin. */
async function openTabs(): Promise<Page[]> {
  const context = await browser.newContext();
  const pages = await Promise.all(Array.from({ length: TABS }, () => context.newPage()));
  await Promise.all(pages.map((page) => page.goto(app.url)));
  return pages;
}

it('3 tabs with 15 terminals each get live output, and every call still answers', async () => {
  const { sandbox, token } = await newSandbox(gateway);
  const pages = await openTabs();
  const results = await Promise.all(
    pages.map((page) =>
      page.evaluate(useMany, { ...options(sandbox.url, token), PIECES, TERMINALS, TICKING }),
    ),
  );
  expect(results).toEqual(
    results.map(() => ({
      shown: TERMINALS,
      listed: TABS * TERMINALS,
      typed: true,
      state: 'connected',
    })),
  );
  await pages[0]?.context().close();
}, 120_000);

it('over HTTP a tab is warned before its sixth stream, which is refused, and calls go on', async () => {
  const { sandbox, token } = await newSandbox(gateway);
  const context = await browser.newContext();
  const page = await context.newPage();
  const warnings: string[] = [];
  page.on('console', (message) => message.type() === 'warning' && warnings.push(message.text()));
  await page.goto(app.url);
  const result = await page.evaluate(useSix, { ...options(sandbox.url, token), TICKING });
  expect(result).toEqual({
    ...{ shown: 5, refused: ['limit_reached'], warnedAt: 5, listed: 6 },
    notice: 'stream_limit',
  });
  expect(warnings).toEqual([expect.stringContaining('HTTP/2')]);
  await context.close();
}, 120_000);

function options(url: string, token: string): Opened {
  return { url, token };
}

/** Runs in the page. */
async function useMany({
  url,
  token,
  PIECES: pieces,
  TERMINALS: count,
  TICKING: ticking,
}: Opened & { PIECES: number; TERMINALS: number; TICKING: { shell: string; args: string[] } }) {
  const sandbox = await computesdk.Sandbox.connect({ url, token });
  const terminals = await Promise.all(
    Array.from({ length: count }, () => sandbox.terminal.create(ticking)),
  );
  const shown = await Promise.all(
    terminals.map(
      (terminal) =>
        new Promise<boolean>((resolve) => {
          let seen = 0;
          terminal.on('output', () => {
            seen += 1;
            if (seen === pieces) resolve(true);
          });
          terminal.on('error', () => resolve(false));
        }),
    ),
  );
  const shell = terminals[0];
  const typed = shell ? await shell.write('x').then(() => true) : false;
  let listed = 0;
  // The other tabs make theirs meanwhile.
  for (let look = 0; look < 1_000 && listed < 45; look += 1) {
    listed = (await sandbox.terminal.list()).length;
  }
  return { shown: shown.filter(Boolean).length, listed, typed, state: sandbox.connection.state };
}

/** Runs in the page. */
async function useSix({
  url,
  token,
  TICKING: ticking,
}: Opened & { TICKING: { shell: string; args: string[] } }) {
  const sandbox = await computesdk.Sandbox.connect({ url, token, transport: 'http' });
  const states: ConnectionState[] = [];
  sandbox.on('connection', (state) => states.push(state));
  let shown = 0;
  let warnedAt = 0;
  const refused: string[] = [];
  for (let index = 0; index < 6; index += 1) {
    const terminal = await sandbox.terminal.create(ticking);
    await new Promise<void>((resolve) => {
      terminal.on('error', ({ code }) => {
        refused.push(code);
        resolve();
      });
      terminal.once('output', () => {
        shown += 1;
        resolve();
      });
    });
    if (warnedAt === 0 && states.length > 0) warnedAt = index + 1;
  }
  const listed = (await sandbox.terminal.list()).length;
  const last = states.at(-1);
  const notice = last?.state === 'connected' ? last.notice?.code : undefined;
  return { shown, refused, warnedAt, listed, notice };
}
