import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compute } from '../../client/compute.ts';
import type { CreatedMagicLink } from '../../client/magic-links.ts';
import type { ManagedSandbox } from '../../client/managed-sandbox.ts';
import { TestGateway } from '../support/gateway.ts';
import {
  forEachAtOnce,
  type HttpAnswer,
  HttpClient,
  sessionCookieIn,
} from '../support/magic-http.ts';
import { report } from '../support/report.ts';
import { scaled } from '../support/scale.ts';

/** Redemptions of one link at once. */
const AT_ONCE = 16;
/** Links of one sandbox: below the thousand live ones that it may have. */
const LINKS_PER_SANDBOX = 800;
const LINK_COUNT = scaled(2_000);
const SCAN_COUNT = 1_000;

let gateway: TestGateway;
let client: HttpClient;

beforeAll(async () => {
  gateway = await TestGateway.start();
  compute.setConfig({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
  client = new HttpClient(64);
});

afterAll(async () => {
  compute.setConfig({});
  client?.[Symbol.dispose]();
  await gateway?.stop();
});

test('of any number of browsers that use a link at once exactly one is signed in', async () => {
  const sandboxes = await makeSandboxes(Math.ceil(LINK_COUNT / LINKS_PER_SANDBOX));
  const wrong: string[] = [];
  const cookies = new Set<string>();
  const statuses = new Map<number, number>();
  const startedAt = performance.now();
  await forEachAtOnce(Array(LINK_COUNT).keys(), 3, async (index) => {
    const sandbox = sandboxes[Math.floor(index / LINKS_PER_SANDBOX)];
    const link = await sandbox?.magicLink.create({ description: `link ${index}` });
    if (!link) throw new Error('no link was made');
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, browser) => client.press(link.url, nonceOf(browser))),
    );
    for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const problem = problemWith(answers, link);
    if (problem) wrong.push(`link ${index}: ${problem}`);
    for (const answer of answers) cookies.add(sessionCookieIn(answer) ?? '');
  });
  const seconds = (performance.now() - startedAt) / 1000;
  cookies.delete('');
  expect(wrong).toEqual([]);
  expect(cookies.size).toBe(LINK_COUNT);

  // What the gateway says it granted: one token a link, none of them twice.
  const granted: string[] = [];
  for (const sandbox of sandboxes) {
    const tokens = await sandbox.sessionToken.list();
    expect(tokens.every(({ kind }) => kind === 'magic_link')).toBe(true);
    granted.push(...tokens.map(({ description }) => description));
    expect(await sandbox.magicLink.list()).toEqual([]);
  }
  expect(granted.toSorted()).toEqual(
    Array.from({ length: LINK_COUNT }, (_, index) => `link ${index}`).toSorted(),
  );
  report({
    test: 'links redeemed by 16 at once',
    count: LINK_COUNT,
    figures: {
      attempts: LINK_COUNT * AT_ONCE,
      'signed in': statuses.get(303) ?? 0,
      refused: statuses.get(410) ?? 0,
      'attempts a second': (LINK_COUNT * AT_ONCE) / seconds,
    },
  });
  await Promise.all(sandboxes.map((sandbox) => sandbox.destroy()));
});

test('scanners, previewers and prefetches sign nobody in and leave the link as it is', async () => {
  const [sandbox] = await makeSandboxes(1);
  if (!sandbox) throw new Error('no sandbox was made');
  const link = await sandbox.magicLink.create();
  const wrong: string[] = [];
  const looks = [...Array(SCAN_COUNT).keys()].map(lookOf);
  await forEachAtOnce(looks, AT_ONCE, async (look) => {
    const answer = await client.ask(link.url + look.suffix, look);
    const isCookie = sessionCookieIn(answer) !== undefined;
    if (answer.status !== 200 || isCookie || answer.headers.location !== undefined)
      wrong.push(`${JSON.stringify(look)}: ${answer.status}`);
    const isWhole = look.method === 'HEAD' ? answer.text === '' : answer.text.includes('<button');
    if (!isWhole) wrong.push(`${JSON.stringify(look)}: ${answer.text.slice(0, 200)}`);
    if (answer.headers['cache-control'] !== 'no-store' || answer.headers.etag !== undefined)
      wrong.push(`${JSON.stringify(look)}: may be kept`);
  });
  expect(wrong).toEqual([]);
  expect(await sandbox.sessionToken.list()).toEqual([]);
  expect((await sandbox.magicLink.list()).map(({ id }) => id)).toEqual([link.id]);

  // Scanners that press what they find do so from elsewhere: no Origin, or their own.
  for (const headers of [{}, { origin: 'null' }, { origin: 'https://scanner.example' }]) {
    const pressed = await client.ask(link.url, { method: 'POST', headers });
    expect([pressed.status, sessionCookieIn(pressed)]).toEqual([403, undefined]);
  }
  expect(sessionCookieIn(await client.press(link.url))).toMatch(/^[\w-]{43}$/);
  expect(await sandbox.sessionToken.list()).toHaveLength(1);
  report({
    test: 'looks at a link by scanners',
    count: SCAN_COUNT,
    figures: { scanners: SCANNERS.length, 'used up': wrong.length },
  });
  await sandbox.destroy();
});

async function makeSandboxes(count: number): Promise<ManagedSandbox[]> {
  return await Promise.all(Array.from({ length: count }, () => compute.sandbox.create()));
}

/** Every second browser opened the page before and has its nonce, each one of its own. */
function nonceOf(browser: number): Record<string, string> {
  if (browser % 2 === 1) return {};
  return { cookie: `__Host-computesdk-link=${randomBytes(16).toString('base64url')}` };
}

function problemWith(answers: readonly HttpAnswer[], link: CreatedMagicLink): string | undefined {
  const winners = answers.filter(({ status }) => status === 303);
  const [winner] = winners;
  if (winners.length !== 1 || !winner) return `${winners.length} were signed in`;
  if (sessionCookieIn(winner) === undefined) return 'the winner has no cookie';
  if (winner.headers.location !== link.redirectUrl) return `leads to ${winner.headers.location}`;
  const losers = answers.filter((answer) => answer !== winner);
  const odd = losers.find(({ status, headers }) => status !== 410 || headers['set-cookie']);
  return odd && `a loser got ${odd.status} and ${odd.headers['set-cookie']?.length ?? 0} cookies`;
}

type Look = {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly suffix: string;
};

/** The look number `index`: all scanners, methods, headers and additions to the address in turn. */
function lookOf(index: number): Look {
  const pick = <T>(list: readonly T[], step: number) =>
    list[Math.floor(index / step) % list.length];
  const agent = pick(SCANNERS, 1) ?? '';
  const method = pick(['GET', 'GET', 'HEAD'], 7) ?? 'GET';
  const suffix = pick(SUFFIXES, 3) ?? '';
  return { method, suffix, headers: { 'user-agent': agent, ...pick(HINTS, SCANNERS.length) } };
}

const SUFFIXES = ['', '', '?utm_source=mail', '?safelinks=1&data=05%7C02', '?'];

const HINTS: readonly Readonly<Record<string, string>>[] = [
  {},
  { 'sec-purpose': 'prefetch' },
  { 'sec-purpose': 'prefetch;prerender' },
  { 'sec-purpose': 'prefetch;anonymous-client-ip' },
  { purpose: 'prefetch' },
  { 'x-purpose': 'preview' },
  { 'x-moz': 'prefetch' },
  { 'if-none-match': '*' },
  { 'if-none-match': '"0123456789abcdef"' },
  { 'if-modified-since': 'Wed, 21 Oct 2065 07:28:00 GMT' },
  { range: 'bytes=0-1023' },
  { range: 'bytes=0-0,5-9', 'if-range': '"x"' },
  { accept: '*/*' },
  { accept: 'application/json' },
  { accept: 'image/avif,image/webp,*/*;q=0.8', 'sec-fetch-dest': 'image' },
  { accept: 'text/html', 'accept-encoding': 'gzip, br', 'sec-fetch-mode': 'navigate' },
  { 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'document' },
  { referer: 'https://mail.example/inbox', 'upgrade-insecure-requests': '1' },
  { 'x-http-method-override': 'POST', 'x-http-method': 'POST' },
  { cookie: '__Host-computesdk-link=abc; other=1' },
];

const MOZILLA = 'Mozilla/5.0 (compatible; ';
const SCANNERS: readonly string[] = [
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0 SafeLinks',
  'Microsoft Office/16.0 (Microsoft Outlook 16.0; Pro)',
  'Microsoft-Exchange-Safe-Links/1.0',
  `${MOZILLA}Proofpoint URL Defense)`,
  'BarracudaCentral/1.0',
  `${MOZILLA}Mimecast Targeted Threat Protection)`,
  'Cisco-IronPort-ESA/15.0',
  'Symantec-Email-Security.cloud',
  'TrendMicro-URL-Scanner',
  'FortiGuard/1.0',
  'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)',
  'Slack-ImgProxy (+https://api.slack.com/robots)',
  `${MOZILLA}Discordbot/2.0; +https://discordapp.com)`,
  'TelegramBot (like TwitterBot)',
  'WhatsApp/2.23.20.0',
  'facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)',
  'LinkedInBot/1.0 (compatible; Mozilla/5.0; Jakarta Commons-HttpClient/4.3)',
  'Twitterbot/1.0',
  'Mozilla/5.0 (via ggpht.com GoogleImageProxy)',
  'SkypeUriPreview Preview/0.5 Microsoft Teams',
];
