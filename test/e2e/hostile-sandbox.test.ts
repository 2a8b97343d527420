import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page, Response } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Sandbox } from '../../client/index.ts';
import type { Sandbox as SandboxRecord } from '../../gen/computesdk/v1/sandbox_pb.ts';
import { TerminalService } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { newId } from '../../server/core/id.ts';
import { launchChromium } from '../support/chromium.ts';
import { newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { OWNED, SEEN_FILE } from '../support/hostile-agent.ts';
import { servePage } from '../support/page.ts';
import { residentBytes } from '../support/processes.ts';
import { SourceCopy } from '../support/source-copy.ts';
import { within } from '../support/until.ts';

const METHODS = TerminalService.methods.map(({ name }) => name);
/** Header names of a sandbox's answer that a browser may get to see, beside the CORS ones. */
const NEVER = [
  'set-cookie',
  'location',
  'www-authenticate',
  'clear-site-data',
  'service-worker-allowed',
  'refresh',
  'link',
  'x-padding',
];
const COOKIE = 'cookie-canary';
const FORGED = 'forged-canary';
const TYPES = /^application\/(json|proto|connect\+(json|proto)|grpc(-web)?(\+(json|proto))?)\b/;
const MAX_GROWTH_BYTES = 100 * 1024 * 1024;

/** The client tries for 30 s what looks like the fault of a proxy in between. */
const GIVE_UP_MS = 40_000;

let copy: SourceCopy;
let gateway: TestGateway;
let browser: Browser;
let app: Awaited<ReturnType<typeof servePage>>;
let sandbox: SandboxRecord;
let token: string;

beforeAll(async () => {
  copy = new SourceCopy();
  copy.mutate({
    file: 'server/agent/main.ts',
    from: "import { systemClock } from '../core/clock.ts';",
    to: "import { hostile } from '../../test/support/hostile-agent.ts';\nimport { systemClock } from '../core/clock.ts';",
  });
  copy.mutate({
    file: 'server/agent/main.ts',
    from: 'keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,\n  },\n  handler,',
    to: 'keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,\n  },\n  hostile(handler),',
  });
  copy.mutate({
    file: 'server/agent/sandbox-services.ts',
    from: "import { acceptFrameLinks } from './rpc/frame-link.ts';",
    to: "import { hostileLinks as acceptFrameLinks } from '../../test/support/hostile-agent.ts';",
  });
  await copy.buildAgent();
  gateway = await TestGateway.start({ root: copy.root });
  ({ sandbox, token } = await newSandbox(gateway));
  browser = await launchChromium();
  app = await servePage();
}, 60_000);

afterAll(async () => {
  await browser.close();
  await app[Symbol.asyncDispose]();
  await gateway.stop();
  copy[Symbol.dispose]();
}, 60_000);

describe("a hostile process in the agent's place", () => {
  it("runs no script on the gateway's origin, sets no cookie and shows no dialog", async () => {
    const startBytes = residentBytes(gateway.pid);
    const context = await browser.newContext({
      extraHTTPHeaders: { authorization: `Bearer ${token}` },
    });
    const page = await context.newPage();
    const watched = watch(page);
    for (const method of METHODS) {
      const query = '?connect=v1&encoding=json&message=%7B%7D';
      await visit(page, `${sandbox.url}/computesdk.v1.TerminalService/${method}${query}`);
      expect(await page.title()).not.toBe(OWNED);
    }
    for (const path of [
      '/',
      '/index.html',
      '/computesdk.v1.TerminalService/',
      '/evil.html?connect=v1',
    ]) {
      await visit(page, `${sandbox.url}${path}`);
      expect(await page.title()).not.toBe(OWNED);
    }
    await visit(page, `${gateway.url}/healthz`);
    expect(await page.evaluate(() => localStorage.length)).toBe(0);
    expect(await context.cookies()).toEqual([]);
    expect(watched.dialogs).toEqual([]);
    expect(watched.elsewhere).toEqual([]);
    expect(watched.responses.length).toBeGreaterThan(METHODS.length);
    for (const response of watched.responses) await expectHarmless(response);
    expect(residentBytes(gateway.pid) - startBytes).toBeLessThan(MAX_GROWTH_BYTES);
    await context.close();
  }, 90_000);

  it('gets nothing past the gateway to a page that calls it', async () => {
    const context = await browser.newContext();
    await context.addCookies([{ name: 'canary', value: COOKIE, url: gateway.url }]);
    const page = await context.newPage();
    const watched = watch(page);
    await page.goto(app.url);
    const call = { base: sandbox.url, token, methods: METHODS };
    const outcomes = await page.evaluate(callEverything, call);
    for (const { method, status, text } of outcomes) {
      // What claims to be a JSON error passes unread; its type and policy make it harmless.
      if (method !== 'CreateTerminal') expect(text, method).not.toContain(OWNED);
      // The one that is valid but for its headers, and the stream, whose head is valid.
      if (!['ResizeTerminal', 'AttachTerminal'].includes(method))
        expect(status, method).not.toBe(200);
    }
    const fromSandbox = watched.responses.filter((response) =>
      response.url().startsWith(sandbox.url),
    );
    expect(fromSandbox.length).toBeGreaterThanOrEqual(METHODS.length);
    for (const response of fromSandbox) await expectHarmless(response);
    expect((await context.cookies()).map(({ value }) => value)).toEqual([COOKIE]);
    expect(watched.dialogs).toEqual([]);
    await context.close();
  }, 90_000);

  it.each(['websocket', 'http'] as const)(
    'is a typed error for the SDK over %s, in time',
    async (transport) => {
      const attempts: ((client: Sandbox) => Promise<unknown>)[] = [
        (client) => client.terminal.create(),
        (client) => client.terminal.list(),
        (client) => client.terminal.retrieve(newId('trm')),
      ];
      const failures = attempts.map(async (attempt) => {
        await using client = await Sandbox.connect({ url: sandbox.url, token, transport });
        return await within(attempt(client).catch(String), {
          what: 'an error',
          withinMs: GIVE_UP_MS,
        });
      });
      for (const failure of await Promise.all(failures)) {
        expect(failure).toMatch(/^SandboxError/);
      }
    },
    60_000,
  );

  it('has received no credential, and no word of a client about itself', async () => {
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      cookie: `canary=${COOKIE}`,
      'x-computesdk-principal': FORGED,
      'x-computesdk-subject': FORGED,
      'x-computesdk-subjects': FORGED,
      'x-computesdk-scopes': FORGED,
      'x-forwarded-for': FORGED,
      'proxy-authorization': `Basic ${FORGED}`,
    };
    const url = `${sandbox.url}/computesdk.v1.TerminalService/ResizeTerminal`;
    expect((await fetch(url, { method: 'POST', headers, body: '{}' })).status).toBe(200);
    const path = join(gateway.dataDirectory, 'sandboxes', sandbox.id, 'project', SEEN_FILE);
    const seen = readFileSync(path, 'utf8');
    expect(seen.split('\n').length).toBeGreaterThan(METHODS.length);
    const [, , signature = token] = token.split('.');
    for (const secret of [token, signature, gateway.apiKey, COOKIE, FORGED])
      expect(seen).not.toContain(secret);
    expect(seen).not.toMatch(/"(authorization|cookie|proxy-authorization)"/i);
  });

  it('leaves the gateway well', async () => {
    expect((await newSandbox(gateway)).token).not.toBe('');
  });
});

type Watched = {
  readonly dialogs: string[];
  readonly elsewhere: string[];
  readonly responses: Response[];
};

function watch(page: Page): Watched {
  const watched: Watched = { dialogs: [], elsewhere: [], responses: [] };
  page.on('dialog', (dialog) => {
    watched.dialogs.push(dialog.message());
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    if (request.url().includes('evil.example')) watched.elsewhere.push(request.url());
  });
  page.on('response', (response) => watched.responses.push(response));
  return watched;
}

/** A navigation may be refused or broken; what it did to the page is looked at afterwards. */
async function visit(page: Page, url: string): Promise<void> {
  await page.goto(url, { timeout: 10_000 }).catch(() => undefined);
}

async function expectHarmless(response: Response): Promise<void> {
  const headers = await response.allHeaders();
  const where = response.url();
  expect(
    Object.keys(headers).filter((name) => NEVER.includes(name)),
    where,
  ).toEqual([]);
  expect(headers['access-control-allow-origin'] ?? '', where).not.toContain('evil');
  expect(headers['access-control-allow-credentials'], where).toBeUndefined();
  if (!where.startsWith(sandbox.url) || response.request().method() === 'OPTIONS') return;
  expect(headers['content-type'] ?? '', where).toMatch(TYPES);
  expect(headers['x-content-type-options'], where).toBe('nosniff');
  // The gateway's own refusals are the second.
  expect(headers['content-security-policy'], where).toMatch(/\bsandbox\b|default-src 'none'/);
}

/** Runs in the page: every method, in JSON and as a stream where it is one. */
async function callEverything(call: { base: string; token: string; methods: string[] }) {
  const results: { method: string; status: number; text: string }[] = [];
  for (const method of call.methods) {
    const type = method === 'AttachTerminal' ? 'application/connect+json' : 'application/json';
    const headers = { authorization: `Bearer ${call.token}`, 'content-type': type };
    const prefix = type.includes('connect') ? '\0\0\0\0\u0002' : '';
    try {
      const url = `${call.base}/computesdk.v1.TerminalService/${method}`;
      const response = await fetch(url, { method: 'POST', headers, body: `${prefix}{}` });
      const text = await response.text().catch((error: unknown) => String(error));
      results.push({ method, status: response.status, text });
    } catch (error) {
      results.push({ method, status: 0, text: String(error) });
    }
  }
  return results;
}
