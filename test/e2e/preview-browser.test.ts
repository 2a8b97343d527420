import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import { FRAME_PROTOCOL } from '../../frames/frame.ts';
import { apiAttacks } from '../support/api-attacks.ts';
import { launchChromium } from '../support/chromium.ts';
import { PreviewStage } from '../support/preview-stage.ts';

const PORT = 3000;

let stage: PreviewStage;
let browser: Browser;

beforeAll(async () => {
  stage = await PreviewStage.open();
  await stage.serve([PORT]);
  browser = await launchChromium();
}, 60_000);
afterAll(async () => {
  await browser.close();
  await stage[Symbol.asyncDispose]();
}, 60_000);

it('a page of a preview can do nothing with the cookies of its visitor', async () => {
  const { gateway, sandboxId } = stage;
  const owner = compute({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
  const sandbox = await owner.sandbox.getById(sandboxId);
  await using context = await browser.newContext();
  const visitor = await context.newPage();
  const link = await sandbox.magicLink.create({ redirectUrl: '/workspace' });
  await visitor.goto(link.url);
  await visitor.getByRole('button').click();
  await visitor.waitForURL(/\/workspace\/sbx/);
  await visitor.waitForLoadState('networkidle');
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
