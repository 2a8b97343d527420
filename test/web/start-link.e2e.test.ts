import { expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import { launchChromium } from '../support/chromium.ts';
import { TestGateway } from '../support/gateway.ts';
import { picture } from './support/open-page.ts';

const PATIENCE = { timeout: 20_000 };
const PRINTED = /^open (\S+) to use a terminal in the browser/m;

it('a start prints a link: press the button, type in a shell', async () => {
  await using gateway = await TestGateway.start();
  await expect.poll(() => gateway.output, PATIENCE).toMatch(PRINTED);
  const [, link = ''] = PRINTED.exec(gateway.output) ?? [];
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(link);
    await picture(page, 'magic-link');
    await page.getByRole('button').click();
    await page.waitForURL(`${gateway.url}/workspace/sbx*`);
    const screen = page.locator('.xterm-rows');
    await expect.poll(() => screen.textContent(), PATIENCE).toMatch(/\$ /);
    await page.keyboard.type('echo hel$(true)lo\n');
    await expect.poll(() => screen.textContent(), PATIENCE).toContain('hello');
    await picture(page, 'workspace');
  } finally {
    await browser.close();
  }
  // What backends find is what they made.
  const { sandbox } = compute({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
  expect(await sandbox.list()).toEqual([]);
});

it('a gateway that others can reach prints no link, unless it is told to', async () => {
  const elsewhere = {
    COMPUTESDK_PUBLIC_URL: 'https://box.example.com',
    COMPUTESDK_ALLOWED_HOSTS: 'box.example.com',
  };
  for (const [told, prints] of [
    ['', false],
    ['1', true],
    ['0', false],
  ] as const) {
    await using gateway = await TestGateway.start({
      env: { ...elsewhere, COMPUTESDK_PRINT_LINK: told },
    });
    const written = prints ? PRINTED : /COMPUTESDK_PRINT_LINK=1 makes a start print/;
    await expect.poll(() => gateway.output, PATIENCE).toMatch(written);
    await gateway.kill('SIGINT');
    expect(PRINTED.test(gateway.output)).toBe(prints);
  }
});
