import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Sandbox } from '../../client/index.ts';
import { launchChromium } from '../support/chromium.ts';
import { TestGateway } from '../support/gateway.ts';
import { TRANSPORTS } from '../support/transports.ts';
import { until } from '../support/until.ts';
import { delegatingProgram } from './access-snippets.ts';
import { ExpressApp } from './express-app.ts';
import { createPackedApp, type PackedApp, run } from './packed-app.ts';

const PATIENCE = { timeout: 20_000 };

const apiKey = randomBytes(24).toString('base64url');
let packed: PackedApp;
let app: ExpressApp;
let gateway: TestGateway;

beforeAll(async () => {
  packed = createPackedApp({ install: ['--omit=optional', '--ignore-scripts'] });
  app = await ExpressApp.start(packed, apiKey);
  gateway = await TestGateway.start({
    env: {
      COMPUTESDK_API_KEY: apiKey,
      COMPUTESDK_APP_ORIGIN: app.origin,
      COMPUTESDK_ALLOWED_ORIGINS: app.origin,
    },
  });
  await app.connect(gateway.url);
}, 180_000);

afterAll(async () => {
  await app?.[Symbol.asyncDispose]();
  await gateway?.stop();
});

test('the snippets about tokens and magic links run as written', () => {
  process.env['COMPUTESDK_API_KEY'] = apiKey;
  process.env['COMPUTESDK_GATEWAY_URL'] = gateway.url;
  const program = packed.write('delegating.mjs', delegatingProgram());
  const output = run(resolve('node_modules/.bin/node'), [program], packed.directory);
  const told = JSON.parse(output.trimEnd().split('\n').at(-1) ?? '');
  const life = (made: { createdAt: string; expiresAt: string }) =>
    (Date.parse(made.expiresAt) - Date.parse(made.createdAt)) / 1000;
  expect(told.made.map(life)).toEqual([3600, 3600, 604_800]);
  expect(told.retrieved).toMatchObject({ id: told.made[0].id, description: 'CI Pipeline' });
  expect(told.left.map(({ id }: { id: string }) => id)).toEqual(
    told.made.slice(1).map(({ id }: { id: string }) => id),
  );
  expect(output).toMatch(/^tok[0-9a-z]+: CI Pipeline$/m);
  expect(output).toMatch(/^ {2}Last used: never$/m);
  expect(told.link.url).toMatch(new RegExp(`^${gateway.url}/magic/[\\w-]{43}$`));
  expect(told.link.redirectUrl).toBe(`${app.origin}/workspace`);
  expect(output.split('\n')).toContain(told.link.url);
  const sent = `Click here to access your workspace: ${told.link.url}`;
  expect(told.emails).toEqual([['ada@example.com', sent]]);
});

test('a namespace keeps the sandboxes of users apart', async () => {
  const urls = [];
  for (const user of ['ada', 'bob', 'ada'])
    urls.push((await app.get(`/sandbox-of/${user}`))['url']);
  expect(urls[0]).toBe(urls[2]);
  expect(urls[0]).not.toBe(urls[1]);
});

test('the handler for workspaces answers with an address and a token that opens it', async () => {
  const { sandboxUrl, token } = await app.post('/api/workspace');
  expect(await app.post('/api/workspace')).toMatchObject({ sandboxUrl });
  const sandbox = await Sandbox.connect({ url: String(sandboxUrl), token: String(token) });
  const terminal = await sandbox.terminal.create({ pty: true });
  let text = '';
  terminal.on('output', (data) => {
    text += data;
  });
  void terminal.write('echo hel$(true)lo\n');
  await until(() => text.includes('hello'), { what: `the answer of the shell in ${text}` });
  await sandbox.disconnect();
});

test.each(TRANSPORTS)(
  'the complete web IDE runs as written in a page, over %s',
  async (transport) => {
    const { sandboxUrl, token } = await app.post('/api/workspace');
    const sandbox = await Sandbox.connect({ url: String(sandboxUrl), token: String(token) });
    const inBox = (...args: string[]) =>
      sandbox.terminal.create({ pty: false, shell: '/bin/sh', args: ['-c', ...args] });
    const making = await inBox('mkdir -p src');
    await new Promise((resolve) => making.on('exit', resolve));
    await using browser = await launchChromium();
    const page = await browser.newPage();
    const complaints: string[] = [];
    const sockets: string[] = [];
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(`page error: ${error.message}`));
    page.on('websocket', (socket) => sockets.push(socket.url()));
    await page.goto(`${app.origin}/ide?transport=${transport}`);
    await expect.poll(() => page.title(), PATIENCE).toBe(`IDE of ${transport}`);
    expect(sockets).toHaveLength(transport === 'websocket' ? 1 : 0);

    const terminal = (await sandbox.terminal.list()).at(-1);
    await terminal?.write('echo hel$(true)lo\n');
    await shows(page, 'hello');
    await inBox(`echo saved > 'src/by ${transport}'`);
    const changes = () => page.locator('ul').textContent();
    await expect.poll(changes, PATIENCE).toBe(`add /project/src/by ${transport}; `);
    const answer = `from the app, ${transport}`;
    const source = `require('http').createServer((q, a) => a.end('${answer}')).listen(3000)`;
    const server = await inBox('exec node -e "$0"', source);
    const preview = page.frameLocator('iframe').locator('body');
    await expect.poll(() => preview.textContent(), PATIENCE).toBe(answer);
    expect(complaints).toEqual([]);
    const signals = await sandbox.signal.start();
    const closed = new Promise((resolve) =>
      signals.on('port', ({ type }) => type === 'close' && resolve(type)),
    );
    await server.destroy();
    // Or the page of the next one is told of the port, and finds nothing there.
    await closed;
    await sandbox.disconnect();
  },
);

test('an invitation opens the app on its own origin, with a shell by the cookie, until logout', async () => {
  const invitation = { projectId: 'workspace', teamId: 'user-7', email: 'bob@example.com' };
  expect(await app.post('/api/invite', invitation)).toEqual({ success: true });
  const sent = app.invitations.at(-1);
  expect(sent?.email).toBe('bob@example.com');

  await using browser = await launchChromium();
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(`page error: ${error.message}`));
  await page.goto(sent?.url ?? '');
  expect(new URL(page.url()).origin).toBe(gateway.url);
  expect(await page.locator('main').textContent()).toContain(new URL(app.origin).host);
  await page.getByRole('button').click();
  await page.waitForURL(`${app.origin}/project/workspace`);
  // The shell's answer, in the size that the page asked for: its echo spells the word otherwise.
  await shows(page, 'hello 40 120');
  expect(complaints).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.dataset['referrer'])).toBe('');

  const loggedOut = await page.evaluate(async () => {
    const answer = await fetch('/api/logout', { method: 'POST' });
    return await answer.json();
  });
  expect(loggedOut).toEqual({ success: true });
  const connection = () => page.evaluate(() => document.documentElement.dataset['connection']);
  await expect.poll(connection, PATIENCE).toBe('closed revoked');
  await expect.poll(() => complaints.join('\n'), PATIENCE).toContain('Terminal error:');

  complaints.length = 0;
  await page.reload();
  await expect.poll(() => complaints.join('\n'), PATIENCE).toMatch(/page error: .*revoked/s);
  expect(await page.locator('#terminal').textContent()).toBe('');
});

async function shows(page: Page, text: string): Promise<void> {
  await expect.poll(() => page.locator('#terminal').textContent(), PATIENCE).toContain(text);
}
