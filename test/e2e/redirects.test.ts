import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compute } from '../../client/compute.ts';
import { SandboxError } from '../../client/errors.ts';
import type { CreatedMagicLink } from '../../client/magic-links.ts';
import type { ManagedSandbox } from '../../client/managed-sandbox.ts';
import { launchChromium } from '../support/chromium.ts';
import { TestGateway } from '../support/gateway.ts';
import { forEachAtOnce, HttpClient } from '../support/magic-http.ts';
import {
  problemWithLocation,
  randomRedirect,
  redirectVectors,
} from '../support/redirect-vectors.ts';
import { report } from '../support/report.ts';
import { scaled, seed, seededRandom } from '../support/scale.ts';

const APP = 'http://app.example';
const ALLOWED = [APP, 'http://second.example:8443'];
const VECTORS = redirectVectors(APP);
/** Links that Chromium opens: each takes it a new process, because our page shares none. */
const OPENED = scaled(300);
const PAGES = 3;

let gateway: TestGateway;
let elsewhere: Server;
let browser: Browser;
let sandbox: ManagedSandbox;

beforeAll(async () => {
  gateway = await TestGateway.start({
    env: { COMPUTESDK_APP_ORIGIN: APP, COMPUTESDK_ALLOWED_ORIGINS: ALLOWED.join() },
  });
  compute.setConfig({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
  sandbox = await compute.sandbox.create();
  // Every host there is, for this browser: nothing that it opens leaves the machine.
  elsewhere = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><link rel="icon" href="data:,"><title>landed</title>');
  });
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  // A listening TCP server's address is an object.
  const { port } = elsewhere.address() as AddressInfo;
  browser = await launchChromium([
    `--host-resolver-rules=MAP * 127.0.0.1:${port}, EXCLUDE localhost`,
  ]);
});

afterAll(async () => {
  compute.setConfig({});
  await browser?.close();
  elsewhere?.closeAllConnections();
  elsewhere?.close();
  await gateway?.stop();
});

test('over HTTP every dangerous address is refused, or leads to an allowed origin', async () => {
  using client = new HttpClient(8);
  const wrong: string[] = [];
  let led = 0;
  await forEachAtOnce(VECTORS, 8, async (text) => {
    const link = await linkTo(text);
    if (!link) return;
    const { headers, status } = await client.press(link.url);
    const location = headers.location ?? '';
    led += 1;
    const problem = problemWithLocation(location, { page: link.url, origins: ALLOWED });
    if (problem) wrong.push(`${JSON.stringify(text)} -> ${location} ${problem}`);
    if (status !== 303 || location !== link.redirectUrl)
      wrong.push(`${JSON.stringify(text)}: ${status}, not to ${link.redirectUrl}`);
  });
  expect(wrong).toEqual([]);
  expect(VECTORS.length).toBeGreaterThanOrEqual(300);
  expect(led).toBeGreaterThan(30);
  report({
    test: 'redirect vectors',
    count: VECTORS.length,
    figures: { refused: VECTORS.length - led, led, 'led out': wrong.length },
  });
});

test('Chromium ends where the link says, at an allowed origin', async () => {
  const links = await linksThatWork();
  const wrong: string[] = [];
  const own = new URL(gateway.url).origin;
  const workers = Array.from({ length: PAGES }, async (_, worker) => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    for (const link of links.filter((_link, index) => index % PAGES === worker)) {
      asked.length = 0;
      await page.goto(link.url, { waitUntil: 'commit' });
      await page.getByRole('button').click({ noWaitAfter: true });
      await page.waitForURL((url) => url.origin !== own, { waitUntil: 'commit' });
      if (page.url() !== link.redirectUrl) wrong.push(`${link.redirectUrl}: ${page.url()}`);
      for (const url of asked) {
        const { origin } = new URL(url);
        if (origin !== own && !ALLOWED.includes(origin)) wrong.push(`${link.redirectUrl}: ${url}`);
      }
    }
    await context.close();
  });
  await Promise.all(workers);
  expect(wrong).toEqual([]);
  expect(links).toHaveLength(OPENED);
  report({
    test: 'redirects in Chromium',
    count: links.length,
    figures: { 'led out': wrong.length },
  });
});

/** The vectors that make links, and generated texts that do. */
async function linksThatWork(): Promise<CreatedMagicLink[]> {
  const links: CreatedMagicLink[] = [];
  const random = seededRandom(seed);
  // From anywhere in the list, so that runs with small counts see other parts of it.
  const start = random.below(VECTORS.length);
  const texts = [...VECTORS.slice(start), ...VECTORS.slice(0, start)].values();
  await forEachAtOnce(Array(PAGES * 2).keys(), PAGES * 2, async () => {
    while (links.length < OPENED) {
      const link = await linkTo(texts.next().value ?? randomRedirect(random, APP));
      if (link && links.length < OPENED) links.push(link);
    }
  });
  return links;
}

/** A link that leads there. Undefined if it was refused, as it must be refused. */
async function linkTo(redirectUrl: string): Promise<CreatedMagicLink | undefined> {
  try {
    return await sandbox.magicLink.create({ redirectUrl });
  } catch (error) {
    const isRefusal = error instanceof SandboxError && error.code === 'invalid_argument';
    if (isRefusal && error.field === 'redirectUrl') return undefined;
    throw new Error(`${JSON.stringify(redirectUrl)} was not refused properly`, { cause: error });
  }
}
