import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compute, type ManagedSandbox, type Scope } from '../../client/compute.ts';
import type { TransportKind } from '../../client/connection/sandbox-transport.ts';
import { Sandbox, type Terminal, type TokenReason } from '../../client/index.ts';
import { TestGateway } from '../support/gateway.ts';
import { report } from '../support/report.ts';
import { TRANSPORTS } from '../support/transports.ts';
import { delay, until } from '../support/until.ts';

/** How long the tokens live that are meant to end, in seconds. */
const SHORT_S = 4;
const REFRESHES = 5;
const TYPE_EVERY_MS = 15;
/** Prints numbered lines and keeps what is typed, until a file appears. */
const PROGRAM = `stty raw -echo; exec 3<&0; cat <&3 > /project/typed & i=0
while [ ! -e /project/stop ]; do i=$((i+1)); echo "line $i"; [ $((i % 20)) -ne 0 ] || sleep 0.05; done`;

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await TestGateway.start();
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

type Issued = { readonly id: string; readonly token: string };
type TokenOptions = { readonly expiresIn?: number; readonly scopes?: readonly Scope[] };

/** A sandbox, its page with a terminal that prints, and the tokens that the page was given. */
class Stage {
  readonly issued: Issued[] = [];
  readonly reasons: TokenReason[] = [];
  /** What the application heard beside output. */
  readonly heard: string[] = [];
  /** What the next token is made with, or a token to give as it is. */
  next: TokenOptions | string = { expiresIn: SHORT_S };
  output = '';
  typed = '';
  readonly managed: ManagedSandbox;
  readonly sandbox: Sandbox;
  readonly terminal: Terminal;
  readonly #gateway: TestGateway;

  private constructor(
    gateway: TestGateway,
    parts: Pick<Stage, 'managed' | 'sandbox' | 'terminal'>,
  ) {
    this.#gateway = gateway;
    this.managed = parts.managed;
    this.sandbox = parts.sandbox;
    this.terminal = parts.terminal;
  }

  static async open(transport: TransportKind, at: TestGateway = gateway): Promise<Stage> {
    const managed = await sandboxesOf(at).create();
    let stage: Stage | undefined;
    const first = await managed.sessionToken.create({ expiresIn: SHORT_S });
    const token = async ({ reason }: { reason: TokenReason }): Promise<string> =>
      stage ? stage.#give(reason) : first.token;
    const sandbox = await Sandbox.connect({ url: managed.url, token, transport });
    const terminal = await sandbox.terminal.create({ shell: '/bin/sh', args: ['-c', PROGRAM] });
    const opened = new Stage(at, { managed, sandbox, terminal });
    stage = opened;
    opened.issued.push(first);
    opened.#listen();
    // What is typed before the terminal is in raw mode would be shown.
    await until(() => opened.output !== '', { what: 'the first line' });
    return opened;
  }

  /** Types numbered words. The last one is known to have been applied when this resolves. */
  async type(forMs: number): Promise<void> {
    const until = performance.now() + forMs;
    let last: Promise<void> = Promise.resolve();
    while (performance.now() < until) {
      const word = `${this.typed.length} `;
      this.typed += word;
      last = this.terminal.write(word);
      await delay(TYPE_EVERY_MS);
    }
    await last;
  }

  /** Ends the program and expects that every byte came once and in order, both ways. */
  async expectAll(): Promise<void> {
    await this.managed.terminal.create({ shell: '/bin/sh', args: ['-c', ': > /project/stop'] });
    await until(() => this.heard.includes('exit'), { what: 'the end of the program' });
    const count = this.output.split('\n').length - 1;
    const lines = Array.from({ length: count }, (_, index) => `line ${index + 1}\n`);
    expect(this.output).toBe(lines.join(''));
    const { dataDirectory } = this.#gateway;
    const path = join(dataDirectory, 'sandboxes', this.managed.id, 'project', 'typed');
    expect(readFileSync(path, 'utf8')).toBe(this.typed);
  }

  async close(): Promise<void> {
    await this.sandbox.disconnect();
    await this.managed.destroy();
  }

  async #give(reason: TokenReason): Promise<string> {
    this.reasons.push(reason);
    if (typeof this.next === 'string') return this.next;
    const issued = await this.managed.sessionToken.create(this.next);
    this.issued.push(issued);
    return issued.token;
  }

  #listen(): void {
    const { sandbox, terminal } = this;
    sandbox.on('connection', (state) => {
      this.heard.push(state.state === 'closed' ? `closed ${state.reason}` : state.state);
    });
    sandbox.on('expiring', () => this.heard.push('expiring'));
    terminal.on('output', (text) => {
      this.output += text;
    });
    terminal.on('gap', ({ from, to }) => this.heard.push(`gap ${from}-${to}`));
    terminal.on('error', ({ code }) => this.heard.push(code));
    terminal.on('exit', () => this.heard.push('exit'));
  }
}

function sandboxesOf({ apiKey, url: gatewayUrl }: TestGateway) {
  return compute({ apiKey, gatewayUrl }).sandbox;
}

/** Lets the SDK refresh, to a token that is made as `next` says. */
async function refreshTo(stage: Stage, next: TokenOptions | string): Promise<void> {
  const before = stage.reasons.length;
  stage.next = next;
  await until(() => stage.reasons.length > before, { what: 'a refresh' });
}

describe.concurrent.for(TRANSPORTS)('a token that is refreshed by a function, %s', (transport) => {
  it('shows and types every byte once and in order, and the application hears nothing', async () => {
    const stage = await Stage.open(transport);
    const startedAt = performance.now();
    while (stage.reasons.length < REFRESHES) await stage.type(500);
    await stage.type(500);
    const seconds = (performance.now() - startedAt) / 1_000;
    expect(stage.heard).toEqual([]);
    await stage.expectAll();
    expect(stage.reasons).toEqual(stage.reasons.map(() => 'expiring'));
    report({
      test: `refreshes under a terminal, ${transport}`,
      count: stage.reasons.length,
      figures: { seconds, outputBytes: stage.output.length, typedBytes: stage.typed.length },
    });
    await stage.close();
  }, 90_000);

  it('that expired while the gateway was killed resumes when it is back', async () => {
    await using own = await TestGateway.start();
    const stage = await Stage.open(transport, own);
    await stage.type(500);
    // On a busy machine the token may have been near its end already.
    const before = stage.reasons.length;
    await own.kill('SIGKILL');
    const typing = stage.type((SHORT_S + 2) * 1_000);
    await delay((SHORT_S + 1) * 1_000);
    await own.restart();
    await typing;
    expect(stage.reasons[before]).toBe('refused');
    await stage.expectAll();
    const others = stage.heard.filter((what) => what !== 'reconnecting');
    expect(others).toEqual(['connected', 'exit']);
    await stage.close();
  }, 90_000);

  it('lives on when the old one is revoked, and ends when the new one is', async () => {
    const stage = await Stage.open(transport);
    await refreshTo(stage, {});
    const [old, renewed] = await until(() => stage.issued.length > 1 && stage.issued, {
      what: 'a new token',
    });
    if (!old || !renewed) throw new Error('there is no new token');
    await stage.type(200);
    await stage.managed.sessionToken.revoke(old.id);
    await stage.type(1_000);
    expect(stage.heard).toEqual([]);
    stage.next = renewed.token;
    await stage.managed.sessionToken.revoke(renewed.id);
    const revokedAt = performance.now();
    await until(() => stage.heard.length === 2, { what: 'the end', withinMs: 2_000 });
    report({
      test: `revoke the refreshed token, ${transport}`,
      count: 1,
      figures: { toldMs: performance.now() - revokedAt },
    });
    expect(stage.heard.sort()).toEqual(['access_ended', 'closed revoked']);
    await stage.close();
  }, 60_000);

  it('with fewer scopes keeps what they allow', async () => {
    const stage = await Stage.open(transport);
    await refreshTo(stage, { scopes: ['terminal:write'] });
    await until(() => stage.heard.length > 0, { what: 'the end of reading' });
    await stage.type(200);
    await stage.terminal.kill('SIGCONT');
    await expect(stage.sandbox.terminal.list()).rejects.toMatchObject({
      code: 'permission_denied',
    });
    expect(stage.heard).toEqual(['permission_denied']);
    expect(stage.sandbox.connection.state).toBe('connected');
    await stage.close();
  }, 60_000);

  it('ends the connection when it is replaced by one of another sandbox', async () => {
    const stage = await Stage.open(transport);
    const other = await sandboxesOf(gateway).create();
    await refreshTo(stage, (await other.sessionToken.create()).token);
    await until(() => stage.heard.length === 2, { what: 'the end' });
    expect(stage.heard.sort()).toEqual(['access_ended', 'closed permission_denied']);
    await expect(stage.sandbox.terminal.list()).rejects.toThrow('token of another sandbox');
    await Promise.all([stage.close(), other.destroy()]);
  }, 60_000);
});
