import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import type { CreatedMagicLink } from '../../client/magic-links.ts';
import type { ManagedSandbox } from '../../client/managed-sandbox.ts';
import { launchChromium } from '../support/chromium.ts';
import { TestGateway } from '../support/gateway.ts';
import { type PassedRequest, RecordingProxy } from '../support/recording-proxy.ts';
import { until } from '../support/until.ts';

let proxy: RecordingProxy;
let gateway: TestGateway;
let app: Server;
let appOrigin: string;
/** What came to the app, oldest first. */
let arrived: IncomingMessage[];
/** The page of the app that stands at `/`. */
let appPage: string;
let browser: Browser;
let sandbox: ManagedSandbox;
let made = 0;

beforeAll(async () => {
  app = createServer((request, response) => {
    arrived.push(request);
    response.setHeader('content-type', 'text/html');
    const icon = '<!doctype html><link rel="icon" href="data:,">';
    response.end(`${icon}<title>app</title>${request.url === '/' ? appPage : 'landed'}`);
  });
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  // A listening TCP server's address is an object.
  appOrigin = `http://localhost:${(app.address() as AddressInfo).port}`;
  proxy = await RecordingProxy.start();
  gateway = await TestGateway.start({
    env: {
      PORT: String(proxy.upstreamPort),
      COMPUTESDK_PUBLIC_URL: proxy.origin,
      COMPUTESDK_APP_ORIGIN: appOrigin,
    },
  });
  compute.setConfig({ apiKey: gateway.apiKey, gatewayUrl: proxy.origin });
  browser = await launchChromium();
  sandbox = await compute.sandbox.create();
});

afterAll(async () => {
  compute.setConfig({});
  await browser?.close();
  await gateway?.stop();
  await proxy?.[Symbol.asyncDispose]();
  app?.closeAllConnections();
  app?.close();
});

beforeEach(() => {
  arrived = [];
  proxy.losesAnswer = () => false;
  appPage = '';
});

describe.each([true, false])('in Chromium, with JavaScript: %s', (javaScriptEnabled) => {
  it('the button lands at the app on another origin, which hears of no referrer', async () => {
    await using open = await newPage({ javaScriptEnabled });
    const link = await newLink('/project/7?a=b#c');
    // A referrer of the link itself would be the secret.
    await open.page.goto(link.url);
    await open.page.getByRole('button').click();
    await open.page.waitForURL(`${appOrigin}/project/7?a=b#c`);
    expect(await open.page.locator('body').textContent()).toContain('landed');
    const landed = arrived.find(({ url }) => url === '/project/7?a=b');
    expect(landed?.method).toBe('GET');
    expect(landed?.headers.referer).toBeUndefined();
    expect(landed?.headers.cookie ?? '').not.toContain(link.url.slice(-43));
    const [cookie] = await sessionCookies(open.context);
    expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: 'Lax', path: '/' });
    expect(await grantsOf(link)).toBe(1);
  });

  it('another browser that replays it gets 410 and no cookie', async () => {
    await using open = await newPage({ javaScriptEnabled });
    const link = await newLink();
    await open.page.goto(link.url);
    await open.page.getByRole('button').click();
    await open.page.waitForURL(`${appOrigin}/workspace`);
    await using other = await newPage({ javaScriptEnabled });
    const answer = await other.page.goto(link.url);
    expect(answer?.status()).toBe(410);
    expect(await other.page.locator('h1').textContent()).toBe('This link was used already');
    expect(await other.page.getByRole('button').count()).toBe(0);
    expect(await other.context.cookies(proxy.origin)).toEqual([]);
  });

  it('another browser that has the page open already gets 410 and no session', async () => {
    await using open = await newPage({ javaScriptEnabled });
    await using other = await newPage({ javaScriptEnabled });
    const link = await newLink();
    for (const { page } of [open, other]) await page.goto(link.url);
    await open.page.getByRole('button').click();
    await open.page.waitForURL(`${appOrigin}/workspace`);
    const answer = other.page.waitForResponse((response) => response.request().method() === 'POST');
    await other.page.getByRole('button').click();
    expect((await answer).status()).toBe(410);
    expect(await sessionCookies(other.context)).toEqual([]);
    expect(await grantsOf(link)).toBe(1);
  });

  it('the way back shows that the link was used, and keeps the browser signed in', async () => {
    await using open = await newPage({ javaScriptEnabled });
    const link = await newLink();
    await open.page.goto(link.url);
    await open.page.getByRole('button').click();
    await open.page.waitForURL(`${appOrigin}/workspace`);
    const [signedIn] = await sessionCookies(open.context);
    await open.page.goBack();
    expect(open.page.url()).toBe(link.url);
    expect(await open.page.locator('h1').textContent()).toBe('This link was used already');
    expect(await sessionCookies(open.context)).toEqual([signedIn]);
    await open.page.goForward();
    expect(open.page.url()).toBe(`${appOrigin}/workspace`);
    expect(await grantsOf(link)).toBe(1);
  });

  it('two quick clicks sign in once, and land', async () => {
    await using open = await newPage({ javaScriptEnabled });
    const link = await newLink();
    await open.page.goto(link.url);
    const from = proxy.passed.length;
    await open.page.getByRole('button').dblclick({ noWaitAfter: true });
    // The second click may end the navigation of the first, which waiting for an address would report.
    await until(() => open.page.url() === `${appOrigin}/workspace`, { what: 'the app' });
    expect(pressesSince(from).length).toBeGreaterThan(0);
    expect(await sessionCookies(open.context)).toHaveLength(1);
    expect(await grantsOf(link)).toBe(1);
    // The cookie that the browser kept is the one that opens the sandbox.
    expect(await open.opens()).toBe(200);
  });

  it('a second press after a lost answer lands too, and is no second session', async () => {
    await using open = await newPage({ javaScriptEnabled });
    const link = await newLink();
    await open.page.goto(link.url);
    const from = proxy.passed.length;
    const presses = () => pressesSince(from);
    proxy.losesAnswer = (passed) => passed === presses()[0];
    const press = await presser(open.page);
    await press();
    await until(() => presses()[0]?.status === 303, { what: 'the link to be used' });
    expect(await grantsOf(link)).toBe(1);
    expect(await sessionCookies(open.context)).toEqual([]);
    await press();
    // It ends the navigation of the first one, which waiting for an address would report.
    await until(() => open.page.url() === `${appOrigin}/workspace`, { what: 'the app' });
    expect(presses().map(({ status }) => status)).toEqual([303, 303]);
    expect(await grantsOf(link)).toBe(1);
    expect(await open.opens()).toBe(200);
  });

  it.each([
    ['an app on another origin', 'app'],
    ['a page of the same origin', 'own'],
  ] as const)('speculation rules of %s do not use it up', async (_name, where) => {
    await using open = await newPage({ javaScriptEnabled });
    const [plain, prefetched, prerendered] = [await newLink(), await newLink(), await newLink()];
    const rule = ({ url }: CreatedMagicLink) => [
      { source: 'list', urls: [url], eagerness: 'immediate' },
    ];
    const rules = { prefetch: rule(prefetched), prerender: rule(prerendered) };
    const html = `<script type="speculationrules">${JSON.stringify(rules)}</script>
<link rel="prefetch" href="${plain.url}"><a href="${prefetched.url}">the link</a>`;
    appPage = html;
    proxy.pages.set('/own', html);
    const from = proxy.passed.length;
    await open.page.goto(where === 'own' ? `${proxy.origin}/own` : `${appOrigin}/`);
    const looks = () => proxy.passed.slice(from).filter(({ url }) => url.startsWith('/magic/'));
    const purposes = ({ url }: CreatedMagicLink) =>
      looks()
        .filter((look) => look.url === new URL(url).pathname)
        .map(({ headers }) => String(headers['sec-purpose'] ?? ''));
    // Without scripts a browser has no speculation rules either.
    const wanted = [
      () => purposes(plain).some((purpose) => purpose.startsWith('prefetch')),
      () => !javaScriptEnabled || purposes(prefetched).some((it) => it.startsWith('prefetch')),
      () => !javaScriptEnabled || purposes(prerendered).some((it) => it.includes('prerender')),
    ];
    await until(() => wanted.every((isMet) => isMet()), {
      what: `the links to be fetched ahead, not ${JSON.stringify(looks())}`,
    });
    const links = [plain, prefetched, prerendered];
    expect(looks().every(({ method }) => method === 'GET')).toBe(true);
    for (const link of links) expect(await grantsOf(link)).toBe(0);
    expect(await sessionCookies(open.context)).toEqual([]);
    for (const link of links) {
      await open.page.goto(link.url);
      await open.page.getByRole('button').click();
      await open.page.waitForURL(`${appOrigin}/workspace`);
      expect(await grantsOf(link)).toBe(1);
    }
  });
});

type OpenPage = {
  readonly context: BrowserContext;
  readonly page: Page;
  /** The status that the gateway answers a call by the browser's cookie with. */
  opens(): Promise<number>;
} & AsyncDisposable;

async function newPage(options: { readonly javaScriptEnabled: boolean }): Promise<OpenPage> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  return {
    context,
    page,
    opens: async () => {
      const [cookie] = await sessionCookies(context);
      const response = await fetch(`${sandbox.url}/computesdk.v1.AuthService/WhoAmI`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          connection: 'close',
          origin: proxy.origin,
          cookie: `${cookie?.name}=${cookie?.value}`,
        },
        body: '{}',
      });
      return response.status;
    },
    [Symbol.asyncDispose]: () => context.close(),
  };
}

/** The uses of links among what passed since. */
function pressesSince(from: number): PassedRequest[] {
  const isPress = ({ method, url }: PassedRequest) =>
    method === 'POST' && url.startsWith('/magic/');
  return proxy.passed.slice(from).filter(isPress);
}

/** Presses the button where it is. A locator's click would wait for the press before to be answered. */
async function presser(page: Page): Promise<() => Promise<void>> {
  const box = await page.getByRole('button').boundingBox();
  if (!box) throw new Error('the page has no button');
  return () => page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
}

async function sessionCookies(context: BrowserContext) {
  const cookies = await context.cookies(proxy.origin);
  return cookies.filter(({ name }) => name === '__Host-computesdk');
}

/** A link with a description of its own, by which {@link grantsOf} tells what became of it. */
function newLink(redirectUrl = '/workspace'): Promise<CreatedMagicLink> {
  made += 1;
  return sandbox.magicLink.create({ redirectUrl, description: `link ${made}` });
}

/** How many sessions came of a link. */
async function grantsOf({ description }: CreatedMagicLink): Promise<number> {
  const tokens = await sandbox.sessionToken.list();
  return tokens.filter((token) => token.description === description).length;
}
