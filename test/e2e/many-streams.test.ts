import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, JSHandle, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConnectionState } from '../../client/connection/connection-state.ts';
import { launchChromium } from '../support/chromium.ts';
import { newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { servePage } from '../support/page.ts';
import { projectDirectory } from '../support/signal-stage.ts';
import { until } from '../support/until.ts';

const TABS = 3;
const TERMINALS = 15;
/** What a tab has beside the signals. */
const MIX = { terminals: 10, watchers: 5 };
/** How many pieces of live output each terminal shows before the calls, so that all run at once. */
const PIECES = 5;
const PORT = 3000;
/** Prints for ever, five times a second, without a process for each pause: 45 shells would take a core. */
const TICKING = {
  shell: '/usr/bin/perl',
  args: ['-e', '$| = 1; while (1) { print "tick\\n"; select(undef, undef, undef, 0.2) }'],
};

let gateway: TestGateway;
let browser: Browser;
let app: Awaited<ReturnType<typeof servePage>>;

beforeAll(async () => {
  gateway = await TestGateway.start();
  browser = await launchChromium();
  app = await servePage();
}, 60_000);
afterAll(async () => {
  await browser.close();
  await app[Symbol.asyncDispose]();
  await gateway.stop();
}, 60_000);

type Opened = { readonly url: string; readonly token: string };

/** Opens a tab, all of one browser, which share what it has per origin. */
async function openTabs(): Promise<Page[]> {
  const context = await browser.newContext();
  const pages = await Promise.all(Array.from({ length: TABS }, () => context.newPage()));
  await Promise.all(pages.map((page) => page.goto(app.url)));
  return pages;
}

it('3 tabs with 15 terminals each get live output, and every call still answers', async () => {
  const { sandbox, token } = await newSandbox(gateway);
  const pages = await openTabs();
  const results = await Promise.all(
    pages.map((page) =>
      page.evaluate(useMany, { ...options(sandbox.url, token), PIECES, TERMINALS, TICKING }),
    ),
  );
  expect(results).toEqual(
    results.map(() => ({
      shown: TERMINALS,
      listed: TABS * TERMINALS,
      typed: true,
      state: 'connected',
    })),
  );
  await pages[0]?.context().close();
}, 120_000);

it('3 tabs with 10 terminals, 5 watchers and signals each hear of everything, and every call still answers', async () => {
  const { sandbox, token } = await newSandbox(gateway);
  const pages = await openTabs();
  const tabs = await Promise.all(
    pages.map((page) =>
      page.evaluateHandle(openMix, { ...options(sandbox.url, token), MIX, TICKING }),
    ),
  );
  const answers = await Promise.all(tabs.map((tab) => tab.evaluate(callMix)));
  expect(answers).toEqual(tabs.map(() => ({ terminals: 30, watchers: 15, ports: [] })));
  // What they hear of from now on was caused while all of it was open.
  await Promise.all(tabs.map((tab) => tab.evaluate(({ heard }) => heard.ticking.clear())));
  await Promise.all(tabs.map((tab) => tab.evaluate(({ typewriter }) => typewriter.write('key'))));
  writeFileSync(join(projectDirectory(gateway, sandbox.id), 'saved.txt'), 'content');
  await tabs[0]?.evaluate(listen, PORT);
  await until(async () => (await heardBy(tabs)).every(isComplete), {
    what: 'a keystroke, a change in each watcher, a port and live output in every tab',
    withinMs: 60_000,
  }).catch(() => undefined);
  const told = {
    ...{ typed: 'key', ticking: MIX.terminals - 1, ports: [`open ${PORT}`], errors: [] },
    changes: Array.from({ length: MIX.watchers }, () => ['add /project/saved.txt']),
  };
  expect(await heardBy(tabs)).toEqual(tabs.map(() => told));
  expect(await Promise.all(tabs.map((tab) => tab.evaluate(callMix)))).toEqual(
    tabs.map(() => ({ terminals: 31, watchers: 15, ports: [PORT] })),
  );
  await pages[0]?.context().close();
}, 120_000);

it('over HTTP a tab is warned before its sixth stream, which is refused, and calls go on', async () => {
  const { sandbox, token } = await newSandbox(gateway);
  const context = await browser.newContext();
  const page = await context.newPage();
  const warnings: string[] = [];
  page.on('console', (message) => message.type() === 'warning' && warnings.push(message.text()));
  await page.goto(app.url);
  const result = await page.evaluate(useSix, { ...options(sandbox.url, token), TICKING });
  expect(result).toEqual({
    ...{ shown: 5, refused: ['limit_reached'], warnedAt: 5, listed: 6 },
    notice: 'stream_limit',
  });
  expect(warnings).toEqual([expect.stringContaining('HTTP/2')]);
  await context.close();
}, 120_000);

function options(url: string, token: string): Opened {
  return { url, token };
}

/** Runs in the page. */
async function useMany({
  url,
  token,
  PIECES: pieces,
  TERMINALS: count,
  TICKING: ticking,
}: Opened & { PIECES: number; TERMINALS: number; TICKING: { shell: string; args: string[] } }) {
  const sandbox = await computesdk.Sandbox.connect({ url, token });
  const terminals = await Promise.all(
    Array.from({ length: count }, () => sandbox.terminal.create(ticking)),
  );
  const shown = await Promise.all(
    terminals.map(
      (terminal) =>
        new Promise<boolean>((resolve) => {
          let seen = 0;
          terminal.on('output', () => {
            seen += 1;
            if (seen === pieces) resolve(true);
          });
          terminal.on('error', () => resolve(false));
        }),
    ),
  );
  const shell = terminals[0];
  const typed = shell ? await shell.write('x').then(() => true) : false;
  let listed = 0;
  // The other tabs make theirs meanwhile.
  for (let look = 0; look < 1_000 && listed < 45; look += 1) {
    listed = (await sandbox.terminal.list()).length;
  }
  return { shown: shown.filter(Boolean).length, listed, typed, state: sandbox.connection.state };
}

type Mix = Awaited<ReturnType<typeof openMix>>;
type Heard = Awaited<ReturnType<typeof heardBy>>[number];

/** Runs in the page: opens what a tab has, and listens to it. */
async function openMix({
  url,
  token,
  MIX: { terminals, watchers },
  TICKING: ticking,
}: Opened & { MIX: typeof MIX; TICKING: { shell: string; args: string[] } }) {
  const sandbox = await computesdk.Sandbox.connect({ url, token });
  const heard = {
    typed: '',
    ticking: new Set<string>(),
    changes: Array.from({ length: watchers }, (): string[] => []),
    ports: [] as string[],
    errors: [] as string[],
  };
  const fail = ({ message }: { message: string }) => void heard.errors.push(message);
  // A terminal echoes by itself what is typed.
  const typewriter = await sandbox.terminal.create({ shell: '/bin/sleep', args: ['600'] });
  typewriter.on('output', (text) => {
    heard.typed += text;
  });
  typewriter.on('error', fail);
  const listenToTerminal = async () => {
    const terminal = await sandbox.terminal.create(ticking);
    terminal.on('output', () => heard.ticking.add(terminal.id));
    terminal.on('error', fail);
  };
  const listenToWatcher = async (changes: string[]) => {
    const watcher = await sandbox.watcher.create('/project');
    watcher.on('change', ({ event, path }) => changes.push(`${event} ${path}`));
    watcher.on('error', fail);
  };
  const opening = Array.from({ length: terminals - 1 }, listenToTerminal);
  await Promise.all([...opening, ...heard.changes.map(listenToWatcher)]);
  const signals = await sandbox.signal.start();
  signals.on('port', ({ type, port }) => heard.ports.push(`${type} ${port}`));
  signals.on('error', fail);
  return { sandbox, typewriter, heard };
}

/** Runs in the page: calls of three services. */
async function callMix({ sandbox }: Mix) {
  const [terminals, watchers, ports] = await Promise.all([
    sandbox.terminal.list(),
    sandbox.watcher.list(),
    sandbox.signal.listPorts(),
  ]);
  return {
    terminals: terminals.length,
    watchers: watchers.length,
    ports: ports.map(({ port }) => port),
  };
}

/** Runs in the page: starts a server in the sandbox. */
async function listen({ sandbox }: Mix, port: number): Promise<void> {
  const program = `require('node:net').createServer().listen(${port})`;
  await sandbox.terminal.create({ pty: false, shell: 'node', args: ['-e', program] });
}

async function heardBy(tabs: readonly JSHandle<Mix>[]) {
  const read = ({ heard }: Mix) => ({ ...heard, ticking: heard.ticking.size });
  return await Promise.all(tabs.map((tab) => tab.evaluate(read)));
}

function isComplete({ typed, ticking, changes, ports }: Heard): boolean {
  const all = [typed.length > 2, ticking === MIX.terminals - 1, ports.length > 0];
  return all.every(Boolean) && changes.every(({ length }) => length > 0);
}

/** Runs in the page. */
async function useSix({
  url,
  token,
  TICKING: ticking,
}: Opened & { TICKING: { shell: string; args: string[] } }) {
  const sandbox = await computesdk.Sandbox.connect({ url, token, transport: 'http' });
  const states: ConnectionState[] = [];
  sandbox.on('connection', (state) => states.push(state));
  let shown = 0;
  let warnedAt = 0;
  const refused: string[] = [];
  for (let index = 0; index < 6; index += 1) {
    const terminal = await sandbox.terminal.create(ticking);
    await new Promise<void>((resolve) => {
      terminal.on('error', ({ code }) => {
        refused.push(code);
        resolve();
      });
      terminal.once('output', () => {
        shown += 1;
        resolve();
      });
    });
    if (warnedAt === 0 && states.length > 0) warnedAt = index + 1;
  }
  const listed = (await sandbox.terminal.list()).length;
  const last = states.at(-1);
  const notice = last?.state === 'connected' ? last.notice?.code : undefined;
  return { shown, refused, warnedAt, listed, notice };
}
