import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import { FRAME_PROTOCOL } from '../../frames/frame.ts';
import { apiAttacks } from '../support/api-attacks.ts';
import { launchChromium } from '../support/chromium.ts';
import { servePage } from '../support/page.ts';
import { PreviewStage } from '../support/preview-stage.ts';

const PORT = 3000;
const READY = { timeout: 60_000 };
/** What an origin that may call can do, of all attacks: without these, failing would prove nothing. */
const WORKS_WHERE_LISTED = [
  ...['fetch, JSON', 'fetch, binary', 'fetch, gRPC-web', 'fetch, keepalive', 'fetch, no referrer'],
  ...['fetch of who it is', 'fetch by GET', 'fetch of a preview address', 'fetch of the workspace'],
  ...['XMLHttpRequest', 'WebSocket', 'WebSocket without a protocol', 'WebSocket to another name'],
  'worker',
];

let app: Awaited<ReturnType<typeof servePage>>;
let stage: PreviewStage;
let browser: Browser;

beforeAll(async () => {
  app = await servePage();
  const allowed = new URL(app.url).origin;
  stage = await PreviewStage.open({ env: { COMPUTESDK_ALLOWED_ORIGINS: allowed } });
  await stage.serve([PORT]);
  browser = await launchChromium();
}, 60_000);
afterAll(async () => {
  await browser.close();
  await stage[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
}, 60_000);

/** The sandbox as its owner has it, and a page of the workspace that a link signed in to it. */
async function signIn(context: BrowserContext) {
  const { gateway, sandboxId } = stage;
  const owner = compute({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
  const sandbox = await owner.sandbox.getById(sandboxId);
  const visitor = await context.newPage();
  const link = await sandbox.magicLink.create({ redirectUrl: '/workspace' });
  await visitor.goto(link.url);
  await visitor.getByRole('button').click();
  await visitor.waitForURL(/\/workspace\/sbx/);
  // It makes a terminal of its own, which must not be taken for what an attack made.
  await expect.poll(() => visitor.locator('.xterm-rows').textContent(), READY).toMatch(/\S/);
  return { sandbox, visitor };
}

it('a page of a preview can do nothing with the cookies of its visitor', async () => {
  const { gateway, sandboxId } = stage;
  await using context = await browser.newContext();
  const { sandbox, visitor } = await signIn(context);
  const before = (await sandbox.terminal.list()).length;
  const tokens = (await sandbox.sessionToken.list()).length;

  const page = await context.newPage();
  await page.goto(await stage.sandbox.getUrl({ port: PORT }));
  await page.goto(`http://${stage.host(PORT)}/page`);
  expect(await page.locator('h1').textContent()).toBe('from the box');
  const target = { gateway: gateway.url, sandboxId, protocol: FRAME_PROTOCOL };
  const results = await page.evaluate(apiAttacks, target);

  expect(Object.keys(results).length).toBeGreaterThanOrEqual(30);
  const successes = Object.entries(results).filter(([, result]) => !result.startsWith('blocked'));
  expect(successes).toEqual([]);
  expect((await sandbox.terminal.list()).length).toBe(before);
  expect((await sandbox.sessionToken.list()).length).toBe(tokens);
  // The visitor is still signed in, and the same calls work from where they may.
  const own = await visitor.evaluate(
    (url) =>
      fetch(url, {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      }).then((answer) => answer.text()),
    `${gateway.url}/sandboxes/${sandboxId}/computesdk.v1.AuthService/WhoAmI`,
  );
  expect(own).toContain('PRINCIPAL_KIND_BROWSER_SESSION');
  const seen = JSON.stringify(await stage.seen(PORT));
  for (const { value } of await context.cookies()) {
    if (value.length === 43) expect(seen.includes(value)).toBe(false);
  }
});

it('a page that is listed can do with the same code what it is listed for', async () => {
  await using context = await browser.newContext();
  const { sandbox } = await signIn(context);
  const { gateway, sandboxId } = stage;
  const before = (await sandbox.terminal.list()).length;
  const page = await context.newPage();
  await page.goto(app.url);
  const target = { gateway: gateway.url, sandboxId, protocol: FRAME_PROTOCOL };
  // They would end the visit that the others need, or need a program in a sandbox.
  const without = ['sign out', 'multipart', 'cookies', 'redirect', 'domain of the document'];
  const results = await page.evaluate(apiAttacks, { ...target, without });

  const successes = Object.entries(results).filter(([, result]) => !result.startsWith('blocked'));
  expect(successes.map(([name]) => name)).toEqual(WORKS_WHERE_LISTED);
  expect((await sandbox.terminal.list()).length).toBeGreaterThan(before);
});
