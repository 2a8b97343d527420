import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createServer as createVite, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium } from '../support/chromium.ts';
import { TestGateway } from '../support/gateway.ts';
import { createPackedApp, type PackedApp, run } from './packed-app.ts';
import { backendProgram, frontendProgram } from './spec-snippets.ts';

let app: PackedApp;
let gateway: TestGateway;
let backend: Server;
let vite: ViteDevServer;

beforeAll(async () => {
  app = createPackedApp({ install: ['--omit=optional', '--ignore-scripts'] });
  gateway = await TestGateway.start();
  const program = app.write('backend.mjs', backendProgram());
  process.env['COMPUTESDK_API_KEY'] = gateway.apiKey;
  process.env['COMPUTESDK_GATEWAY_URL'] = gateway.url;
  // The app's own backend: it holds the API key, the page only ever sees the token.
  backend = createHttpServer((_request, response) => {
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.end(run(resolve('node_modules/.bin/node'), [program], app.directory));
  });
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const { port } = backend.address() as AddressInfo;
  const access = `fetch('http://127.0.0.1:${port}/').then((answer) => answer.json())`;
  app.write('main.js', frontendProgram(access));
  app.write('index.html', '<!doctype html><script type="module" src="/main.js"></script>');
  vite = await createVite({
    root: app.directory,
    configFile: false,
    cacheDir: mkdtempSync(join(tmpdir(), 'vite-')),
    logLevel: 'error',
    server: { host: '127.0.0.1', port: 0, hmr: false, watch: null },
  });
  await vite.listen();
}, 180_000);

afterAll(async () => {
  await vite?.close();
  backend?.closeAllConnections();
  backend?.close();
  await gateway?.stop();
  // Vite reads standard input to notice the end of its parent, and leaves it open.
  process.stdin.destroy();
});

test('the quick start runs in a page of another origin', async () => {
  await using browser = await launchChromium();
  const page = await browser.newPage();
  let output = '';
  page.on('console', (message) => {
    output += `${message.text()}\n`;
  });
  page.on('pageerror', (error) => {
    output += `page error: ${error.stack}\n`;
  });
  const url = vite.resolvedUrls?.local[0] ?? '';
  expect(new URL(url).origin).not.toBe(new URL(gateway.url).origin);
  await page.goto(url);
  await expect.poll(() => output, { timeout: 30_000 }).toMatch(/total \d+/);
  expect(output).not.toContain('page error');
});
