import { createHash } from 'node:crypto';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import type { ManagedSandbox } from '../../client/managed-sandbox.ts';
import { launchChromium } from '../support/chromium.ts';
import { TestGateway } from '../support/gateway.ts';
import { openPage, paste, picture } from './support/open-page.ts';

/** Every question that xterm.js answers by typing. */
const QUERIES =
  '\\033[5n\\033[6n\\033[?6n\\033[c\\033[>c\\033[4$p\\033[?25$p\\033P$qr\\033\\\\' +
  '\\033]4;1;?\\033\\\\\\033]10;?\\033\\\\\\033]11;?\\033\\\\\\033]12;?\\033\\\\\\033[?1004h';
const PATIENCE = { timeout: 20_000 };

let gateway: TestGateway;
let browser: Browser;
let sandbox: ManagedSandbox;

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

beforeEach(async () => {
  sandbox = await compute.sandbox.create();
  return () => sandbox.destroy();
});

describe('the page', () => {
  it('is a shell that has the keyboard, in colours, and breaks no rule of its policy', async () => {
    await using open = await openPage(browser, sandbox);
    const { page } = open;
    await open.shows(/\$ /);
    await page.keyboard.type(
      "printf '\\033[38;2;10;120;30mrich\\033[0m-\\033[31mplain\\033[0m\\n'\n",
    );
    await open.shows('rich-plain');
    await picture(page, 'light');
    const colors = await page.evaluate(() =>
      ['rich', 'plain'].map((text) => {
        const spans = [...document.querySelectorAll('.xterm-rows span')];
        const span = spans.findLast((it) => it.textContent === text);
        return span && getComputedStyle(span).color;
      }),
    );
    expect(colors).toEqual(['rgb(10, 120, 30)', 'rgb(179, 38, 30)']);
    expect(open.complaints).toEqual([]);
    expect(await page.title()).toBe('Shell');
    expect(await page.locator('#banner').getAttribute('class')).toContain('unseen');
    await page.keyboard.press('Control+F6');
    expect(await page.locator('#sign-out').evaluate((it) => it === document.activeElement)).toBe(
      true,
    );
  });

  it('fits its window, whose size the shell follows', async () => {
    await using open = await openPage(browser, sandbox, { colorScheme: 'dark' });
    await open.shows(/\$ /);
    const sizes = new Set<string>();
    for (const [width, height] of [
      [1_000, 700],
      [360, 640],
    ] as const) {
      await open.page.setViewportSize({ width, height });
      await expect
        .poll(async () => {
          const [terminal] = await sandbox.terminal.list();
          const size = `${terminal?.cols} ${terminal?.rows}`;
          await open.page.keyboard.type('clear; stty size\n');
          await open.page.waitForTimeout(200);
          const shown = /\d+ \d+(?=user@)/.exec(await open.screen())?.[0];
          const isFitting = shown === size.split(' ').reverse().join(' ') && !sizes.has(size);
          if (isFitting) sizes.add(size);
          return isFitting;
        }, PATIENCE)
        .toBe(true);
      const isInside = await open.page.evaluate(() => {
        const screen = document.querySelector('.xterm-screen')?.getBoundingClientRect();
        const { bottom = 1, right = 1 } = screen ?? {};
        return bottom <= innerHeight && right <= innerWidth;
      });
      expect(isInside).toBe(true);
    }
    await open.page.keyboard.type('seq 1 200; ls --color /\n');
    await open.shows(/200.*bin/);
    await picture(open.page, 'dark-narrow');
    expect(open.complaints).toEqual([]);
  });

  it('sends a browser that came by a loopback address to the public one', async () => {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${gateway.port}/workspace/${sandbox.id}?a=b`);
    expect(page.url()).toBe(`${gateway.url}/workspace/${sandbox.id}?a=b`);
    await page.goto(`http://127.0.0.1:${gateway.port}/workspace`);
    expect(page.url()).toBe(`${gateway.url}/workspace`);
    expect(await page.locator('h1').textContent()).toBe('A magic link opens this page');
    await picture(page, 'no-access');
    await page.close();
  });
});

describe('a reloaded page', () => {
  it('goes on with the shell that it had, and shows its output once', async () => {
    await using open = await openPage(browser, sandbox);
    await open.shows(/\$ /);
    await open.page.keyboard.type('echo mark$((40 + 2))\n');
    await open.shows('mark42');
    await open.page.reload();
    await open.shows('mark42');
    await open.page.keyboard.type('echo again$((40 + 3))\n');
    await open.shows('again43');
    expect((await open.screen()).split('mark42')).toHaveLength(2);
    expect(await sandbox.terminal.list()).toHaveLength(1);
  });

  it('types no answers to questions of the past, and those of the present it does', async () => {
    const program = `stty -echo -icanon; printf '${QUERIES}asked:'; cat -v`;
    await sandbox.terminal.create({ shell: '/bin/sh', args: ['-c', program] });
    await using open = await openPage(browser, sandbox);
    await open.shows('asked:');
    await open.page.reload();
    await open.shows('asked:');
    await open.page.keyboard.type('mark\n');
    await open.shows('mark');
    expect((await open.screen()).trim()).toBe('asked:mark');

    const waits = `stty -echo -icanon; printf 'waits:'; read line; printf '${QUERIES}'; cat -v`;
    await sandbox.terminal.create({ shell: '/bin/sh', args: ['-c', waits] });
    await open.page.reload();
    await open.shows('waits:');
    await open.page.keyboard.type('\n');
    // Each of them is answered, also by the newest xterm.js: none is missing in our list.
    await open.shows(
      /\^\[\[0n.*\^\[\[\d+;\d+R.*\^\[\[\?\d+;\d+R.*\^\[\[\?1;2c.*\^\[\[>.*c.*\^\[\[4;2\$y.*\^\[\[\?25;1\$y.*\^\[P1\$r.*\^\[\]4;1;rgb:.*\^\[\]10;rgb:.*\^\[\]11;rgb:.*\^\[\]12;rgb:.*\^\[\[I/,
    );
  });
});

describe('input', () => {
  it('passes a large paste whole, and says when one is too large', async () => {
    await using open = await openPage(browser, sandbox);
    await open.shows(/\$ /);
    await open.page.keyboard.type("stty -icanon -echo; head -c 700000 | md5sum; echo do''ne\n");
    await open.shows('head -c');
    await paste(open.page, 'x'.repeat(700_000));
    await open.shows('done');
    const hash = createHash('md5').update('x'.repeat(700_000)).digest('hex');
    expect(await open.screen()).toContain(hash);
    await paste(open.page, 'y'.repeat(1_200_000));
    await expect
      .poll(() => open.page.locator('#notice-text').textContent(), PATIENCE)
      .toContain('Nothing of it was sent');
    await picture(open.page, 'notice');
    await open.page.locator('#dismiss').click();
    await open.page.keyboard.type('echo alive$((1 + 1))\n');
    await open.shows('alive2');
  });

  it('stops a flood at once, even where the screen is slower than the program', async () => {
    await using open = await openPage(browser, sandbox);
    await open.shows(/\$ /);
    const session = await open.context.newCDPSession(open.page);
    await session.send('Emulation.setCPUThrottlingRate', { rate: 6 });
    await open.page.keyboard.type('base64 -w 100 /dev/zero\n');
    const floodMs = 6_000;
    await open.page.waitForTimeout(floodMs);
    await open.page.keyboard.press('Control+C');
    const startedAt = performance.now();
    await open.shows(/\^C.*\$ /);
    // What was sent and is not shown yet is bounded, however long the flood was.
    expect(performance.now() - startedAt).toBeLessThan(floodMs / 2);
  });
});

describe('the end', () => {
  it('of a shell is told with its exit code, and another one is a button away', async () => {
    await using open = await openPage(browser, sandbox);
    await open.shows(/\$ /);
    await open.page.keyboard.type('exit 3\n');
    const ended = open.page.locator('#ended-text');
    await expect.poll(() => ended.textContent(), PATIENCE).toContain('ended with exit code 3');
    await picture(open.page, 'exited');
    await open.page.keyboard.press('Enter');
    await expect.poll(() => open.page.title(), PATIENCE).toBe('Shell');
    expect(await ended.isVisible()).toBe(false);
    await open.page.keyboard.type('echo second$((1 + 1))\n');
    await open.shows('second2');
  });

  it('of access is told in words, and takes the keyboard away', async () => {
    await using open = await openPage(browser, sandbox);
    await open.shows(/\$ /);
    await sandbox.sessionToken.revokeAll();
    const banner = open.page.locator('#banner-text');
    await expect.poll(() => banner.textContent(), PATIENCE).toContain('was taken back');
    await picture(open.page, 'revoked');
    expect(await open.page.locator('#sign-out').isVisible()).toBe(false);
    expect(await open.page.locator('.xterm-helper-textarea').getAttribute('readonly')).not.toBe(
      null,
    );
    await open.page.reload();
    await expect.poll(() => banner.textContent(), PATIENCE).toContain('was taken back');
  });
});

describe('a lost connection', () => {
  it('is told with its next attempt, and nothing is lost or doubled when it is back', async () => {
    await using open = await openPage(browser, sandbox);
    await open.shows(/\$ /);
    await open.page.keyboard.type('echo before$((1 + 1))\n');
    await open.shows('before2');
    await gateway.kill('SIGKILL');
    const banner = open.page.locator('#banner');
    await expect.poll(() => banner.textContent(), PATIENCE).toMatch(/lost.*Reconnecting in \d+ s/s);
    await picture(open.page, 'reconnecting');
    await open.page.keyboard.type('echo during$((1 + 1))\n');
    await gateway.restart();
    await open.shows('during2');
    await expect.poll(() => banner.getAttribute('class'), PATIENCE).toContain('unseen');
    expect((await open.screen()).split('before2')).toHaveLength(2);
    expect((await open.screen()).split('during2')).toHaveLength(2);
  });
});
