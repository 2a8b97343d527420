import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { Browser, FrameLocator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.ts';
import { gatewayClients } from '../support/clients.ts';
import { repositoryRoot } from '../support/paths.ts';
import { PreviewStage } from '../support/preview-stage.ts';
import { Reader } from '../support/traffic.ts';
import { until } from '../support/until.ts';
import { writeViteProject, writeViteText } from '../support/vite-project.ts';

const PORT = 5173;
const CERTIFICATES = join(repositoryRoot, 'test/server/gateway/http/certificate');
/** Signed the gateway's certificate, for `localhost` and `*.preview.test`. */
const AUTHORITY = readFileSync(join(CERTIFICATES, 'authority.pem'), 'utf8');

describe.each([
  { name: 'on *.localhost, in cleartext', env: {}, domain: 'localhost', scheme: 'http' },
  {
    name: 'on a domain of its own, with TLS by an authority of its own, and HTTP/2',
    env: {
      COMPUTESDK_TLS_CERT: join(CERTIFICATES, 'certificate.pem'),
      COMPUTESDK_TLS_KEY: join(CERTIFICATES, 'key.pem'),
      COMPUTESDK_PREVIEW_DOMAIN: 'preview.test',
    },
    domain: 'preview.test',
    scheme: 'https',
  },
])('a Vite dev server in a sandbox, in a frame of a page of another site, $name', (how) => {
  let app: Server;
  let browser: Browser;
  let stage: PreviewStage;
  let page: Page;
  let frame: FrameLocator;

  const known = getCACertificates('default');

  beforeAll(async () => {
    if (how.scheme === 'https') setDefaultCACertificates([...known, AUTHORITY]);
    app = createServer((_request, response) => {
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><title>app</title><iframe></iframe>');
    });
    await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
    stage = await PreviewStage.open({ env: how.env });
    browser = await launchChromium([
      '--host-resolver-rules=MAP *.preview.test 127.0.0.1',
      `--ignore-certificate-errors-spki-list=${spkiHash(AUTHORITY)}`,
    ]);
    writeViteProject(stage.project);
    const terminal = await stage.sandbox.terminal.create({
      ...{
        pty: true,
        shell: 'node',
        args: ['node_modules/vite/bin/vite.js', '--port', String(PORT), '--strictPort'],
      },
    });
    const reader = new Reader(terminal);
    await until(() => reader.text.includes(String(PORT)), { what: 'Vite', withinMs: 40_000 });
    page = await browser.newPage();
    await page.goto(`http://app.localhost:${(app.address() as AddressInfo).port}/`);
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await stage?.[Symbol.asyncDispose]();
    app.closeAllConnections();
    await new Promise((resolve) => app.close(resolve));
    setDefaultCACertificates(known);
  }, 60_000);

  const show = async (url: string) => {
    await page.evaluate((src) => {
      const element = document.querySelector('iframe');
      if (element) element.src = src;
    }, url);
    frame = page.frameLocator('iframe');
  };
  const shows = (text: string) => frame.getByText(text).waitFor({ timeout: 20_000 });

  it('is private', async () => {
    await show(`${how.scheme}://${PORT}-${stage.sandboxId}.${how.domain}:${stage.gateway.port}/`);
    await shows('This preview is private');
  });

  it('loads, and shows what changes without being loaded again', async () => {
    const url = await stage.sandbox.getUrl({ port: PORT });
    expect(url.startsWith(`${how.scheme}://${PORT}-${stage.sandboxId}.${how.domain}:`)).toBe(true);
    const connected = page.waitForEvent('console', {
      predicate: (message) => message.text().includes('[vite] connected'),
      timeout: 20_000,
    });
    await show(url);
    await shows('first');
    await connected;
    for (const text of ['second', 'third']) {
      // Vite passes over a change that comes within 50 ms of the one before.
      const isShown = async () => {
        writeViteText(stage.project, text);
        return await frame.getByText(text).isVisible();
      };
      await until(isShown, { what: `the page to show the ${text} text`, withinMs: 20_000 });
    }
    const loads = await frame
      .locator('html')
      .evaluate(() => [Reflect.get(globalThis, 'loads'), location.search]);
    expect(loads).toEqual([1, '']);
  });

  it('ends when the token is revoked', async () => {
    const socketClosed = page.waitForEvent('console', {
      predicate: (message) => message.text().includes('server connection lost'),
      timeout: 10_000,
    });
    const { tokens } = gatewayClients(stage.gateway);
    await tokens.revokeAllSessionTokens({ sandboxId: stage.sandboxId });
    await socketClosed;
    await show(
      `${how.scheme}://${PORT}-${stage.sandboxId}.${how.domain}:${stage.gateway.port}/?again`,
    );
    await shows('This preview is private');
  });
});

/** What Chromium is told of the authority whose certificates it shall accept. */
function spkiHash(certificate: string): string {
  const { publicKey } = new X509Certificate(certificate);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('base64');
}
