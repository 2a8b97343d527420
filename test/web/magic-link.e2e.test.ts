import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import { launchChromium } from '../support/chromium.ts';
import { TestGateway } from '../support/gateway.ts';

const PATIENCE = { timeout: 20_000 };

let gateway: TestGateway;
let browser: Browser;

beforeAll(async () => {
  gateway = await TestGateway.start();
  compute.setConfig({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
  browser = await launchChromium();
});

afterAll(async () => {
  compute.setConfig({});
  await browser?.close();
  await gateway?.stop();
});

it('a magic link opens a shell; signing out ends it here and in other tabs', async () => {
  const sandbox = await compute.sandbox.create();
  const link = await sandbox.magicLink.create({ redirectUrl: '/workspace' });
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  await page.goto(link.url.replace('localhost', '127.0.0.1'));
  await page.locator('button').click();
  await page.waitForURL(`${gateway.url}/workspace/${sandbox.id}`);
  const screen = page.locator('.xterm-rows');
  await expect.poll(() => screen.textContent(), PATIENCE).toMatch(/\$ /);
  await page.keyboard.type('echo hel$(true)lo\n');
  await expect.poll(() => screen.textContent(), PATIENCE).toContain('hello');
  expect(complaints).toEqual([]);

  const other = await context.newPage();
  await other.goto(`${gateway.url}/workspace`);
  await expect.poll(() => other.locator('.xterm-rows').textContent(), PATIENCE).toContain('hello');
  await page.bringToFront();
  await page.locator('#sign-out').click();
  const banner = page.locator('#banner-text');
  await expect.poll(() => banner.textContent(), PATIENCE).toContain('You are signed out');
  await expect.poll(async () => (await screen.textContent())?.trim(), PATIENCE).toBe('');
  const otherBanner = other.locator('#banner-text');
  await expect.poll(() => otherBanner.textContent(), PATIENCE).toContain('was taken back');
  await page.goto(`${gateway.url}/workspace`);
  expect(await page.locator('h1').textContent()).toBe('A magic link opens this page');
  await page.goto(`${gateway.url}/workspace/${sandbox.id}`);
  await expect.poll(() => banner.textContent(), PATIENCE).toContain('not signed in');
  await context.close();
});
