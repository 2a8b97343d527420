import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import { type AnySignal, Sandbox, type Terminal } from '../../client/index.ts';
import { ChaosProxy } from '../support/chaos-proxy.ts';
import { TestGateway } from '../support/gateway.ts';
import { PortProgram } from '../support/port-program.ts';
import { collectPorts, projectDirectory, SignalStage } from '../support/signal-stage.ts';
import { until } from '../support/until.ts';
import { signalsModule } from '../tooling/spec-snippets.ts';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await TestGateway.start();
  compute.setConfig({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
});

afterAll(async () => {
  compute.setConfig({});
  await gateway[Symbol.asyncDispose]();
});

/** Serves one connection, says what it sent, and ends. */
const ONE_SHOT = `use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0);
setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
bind($s, pack_sockaddr_in(4100, INADDR_LOOPBACK)); listen($s, 1); $| = 1;
accept(my $c, $s); print "got ", scalar <$c>;`;

function screen(terminal: Terminal): { text: string } {
  const shown = { text: '' };
  terminal.on('output', (text) => {
    shown.text += text;
  });
  return shown;
}

describe('signals of a sandbox', () => {
  it('tell the ports that are open already, those that open, and the last close', async () => {
    const owned = await compute.sandbox.create();
    const program = await PortProgram.start(owned, projectDirectory(gateway, owned.id));
    const silent = { prints: false };
    await program.plan({ ...silent, port: 4001, openAfterMs: 0, closeAfterMs: 3_000 });
    await until(() => program.moments().length === 1, { what: 'the first port' });
    const signals = await owned.signal.start();
    const told = collectPorts(signals);
    await until(() => told.length === 1, { what: 'the port that is open already' });
    await program.plan({ ...silent, port: 4002, openAfterMs: 9, closeAfterMs: 500, host: '::1' });
    await until(() => told.length === 4, { what: 'the last close' });
    expect(told.map(({ type, port, address }) => [type, port, address])).toEqual([
      ['open', 4001, '127.0.0.1'],
      ['open', 4002, '::1'],
      ['close', 4002, '::1'],
      ['close', 4001, '127.0.0.1'],
    ]);
    const url = `http://4001-${owned.id}.localhost:${gateway.port}/`;
    const opening = (text?: string) => text?.replace(/\?computesdk_ticket=[\w-]{43}$/, '');
    expect(told[0]).toMatchObject({ process: 'node' });
    expect(told[0]?.url).toContain('?computesdk_ticket=');
    expect(opening(told[0]?.url)).toBe(url);
    expect(told[0]?.pid).toBeGreaterThan(1);
    expect(opening(await owned.getUrl({ port: 4001 }))).toBe(url);
    expect(await owned.signal.listPorts()).toEqual([]);
    signals.stop();
    await owned.destroy();
  });

  it('run the snippet of the guide as written', async () => {
    await using stage = await SignalStage.open(gateway);
    const { token } = await stage.sandbox.sessionToken.create();
    const sandbox = await Sandbox.connect({ url: stage.sandbox.url, token });
    const path = join(tmpdir(), 'signals-snippet.mjs');
    writeFileSync(path, signalsModule);
    const { listen } = await import(path);
    const page = { iframe: { src: '' }, lines: [] as string[], notes: [] as string[][] };
    const signals = await listen({
      ...{ sandbox, iframe: page.iframe },
      showNotification: (...note: string[]) => page.notes.push(note),
      console: { log: (line: string) => page.lines.push(line) },
    });
    const once = { prints: true, openAfterMs: 0, closeAfterMs: 60_000 };
    await stage.program.plan({ ...once, port: 3000, host: '0.0.0.0' });
    await until(() => page.iframe.src !== '', { what: 'the address of the page' });
    await stage.sandbox.signal.emitError({ message: 'the build failed' });
    await until(() => page.notes.length > 0, { what: 'the notification' });
    expect(page.lines).toEqual(['Server started on port 3000']);
    expect(page.iframe.src.split('?', 1)[0]).toBe(
      `http://3000-${stage.sandbox.id}.localhost:${gateway.port}/`,
    );
    expect(page.iframe.src).toContain('?computesdk_ticket=');
    expect(page.notes).toEqual([['error', 'the build failed']]);
    signals.stop();
    await sandbox.disconnect();
  });

  it('leave a server alone that serves one connection only', async () => {
    await using stage = await SignalStage.open(gateway);
    const { sandbox, told } = stage;
    const server = await sandbox.terminal.create({
      ...{ pty: false, shell: 'perl', args: ['-e', ONE_SHOT] },
    });
    const shown = screen(server);
    await until(() => told.length === 1, { what: 'the port' });
    // Looked at again by a scan of every kind: after activity, while calm, and on request.
    await sandbox.signal.listPorts();
    const scannedAgain = { port: 4101, prints: true, openAfterMs: 3_500, closeAfterMs: 60_000 };
    await stage.program.plan(scannedAgain);
    await until(() => told.length === 2, { what: 'a later port' });
    expect([server.status, shown.text]).toEqual(['running', '']);
    const client = await sandbox.terminal.create({
      ...{ pty: false, shell: 'bash', args: ['-c', 'echo hello > /dev/tcp/127.0.0.1/4100'] },
    });
    screen(client);
    await until(() => told.length === 3, { what: 'the close' });
    expect(shown.text).toBe('got hello\n');
    expect(told[2]).toMatchObject({ type: 'close', port: 4100, process: 'perl' });
  });

  it('do not tell the ports of another sandbox or of the host', async () => {
    await using one = await SignalStage.open(gateway);
    await using other = await SignalStage.open(gateway);
    const plan = { prints: true, openAfterMs: 0, closeAfterMs: 60_000 };
    await one.program.plan({ ...plan, port: 3001 });
    await other.program.plan({ ...plan, port: 3002 });
    await until(() => one.told.length + other.told.length === 2, { what: 'both ports' });
    await until(async () => (await one.sandbox.signal.listPorts()).length > 0, { what: 'a list' });
    expect(one.told.map(({ port }) => port)).toEqual([3001]);
    expect(other.told.map(({ port }) => port)).toEqual([3002]);
    const listed = await one.sandbox.signal.listPorts();
    expect(listed.map(({ port }) => port)).toEqual([3001]);
  });

  it('tell after a cut what happened meanwhile, once', async () => {
    await using stage = await SignalStage.open(gateway);
    await using proxy = await ChaosProxy.open({ port: gateway.port });
    const { token } = await stage.sandbox.sessionToken.create();
    const sandbox = await Sandbox.connect({ url: proxy.through(stage.sandbox.url), token });
    const signals = await sandbox.signal.start();
    const told = collectPorts(signals);
    const gaps: unknown[] = [];
    signals.on('gap', (gap) => gaps.push(gap));
    for (let round = 0; round < 5; round += 1) {
      const port = 4200 + round;
      await stage.program.plan({ port, prints: true, openAfterMs: 0, closeAfterMs: 700 });
      await until(() => stage.told.length > 2 * round, { what: 'the port' });
      proxy.cutAll();
      await until(() => stage.told.length > 2 * round + 1, { what: 'the close' });
    }
    await until(() => told.length >= 10, { what: 'all of it through the cuts' });
    const brief = (list: typeof told) => list.map(({ type, port }) => `${type} ${port}`);
    expect(brief(told)).toEqual(brief([...stage.told]));
    expect(gaps).toEqual([]);
    await sandbox.disconnect();
  });

  it('come from programs in the sandbox by its command, and never lead to another host', async () => {
    await using stage = await SignalStage.open(gateway);
    const { sandbox, signals } = stage;
    const told: AnySignal[] = [];
    signals.on('signal', (signal) => told.push(signal));
    const script = [
      'computesdk-signal error "the build failed" build',
      'computesdk-signal ready 3000 /docs',
      'computesdk-signal ready 3000 //evil.example/',
      'computesdk-signal emit progress 0.4; echo "all $?"',
    ].join('; ');
    const terminal = await sandbox.terminal.create({ shell: 'bash', args: ['-c', script] });
    const shown = screen(terminal);
    await until(() => shown.text.includes('all 0'), { what: 'the end of the script' });
    await until(() => told.length === 3, { what: 'what was told' });
    const url = `http://3000-${sandbox.id}.localhost:${gateway.port}/docs`;
    expect(told).toEqual([
      { signal: 'error', message: 'the build failed', source: 'build' },
      {
        signal: 'serverReady',
        port: 3000,
        url: expect.stringContaining(`${url}?computesdk_ticket=`),
      },
      { signal: 'custom', name: 'progress', data: '0.4' },
    ]);
    expect(shown.text).toContain('computesdk-signal: path: must be empty, or begin with one slash');
  });

  it('need their scopes: one to listen, another to tell', async () => {
    await using stage = await SignalStage.open(gateway);
    const connect = async (scopes: ('signal:emit' | 'signal:read')[]) => {
      const { token } = await stage.sandbox.sessionToken.create({ scopes });
      return Sandbox.connect({ url: stage.sandbox.url, token });
    };
    const reader = await connect(['signal:read']);
    const teller = await connect(['signal:emit']);
    const refused = { code: 'permission_denied' };
    await expect(teller.signal.start()).rejects.toMatchObject(refused);
    await expect(teller.signal.listPorts()).rejects.toMatchObject(refused);
    await expect(reader.signal.emitPort({ port: 3000 })).rejects.toMatchObject(refused);
    const signals = await reader.signal.start();
    const told: string[] = [];
    signals.on('signal', (signal) => told.push(signal.signal));
    await teller.signal.emitPort({ port: 3000 });
    await teller.signal.emitServerReady({ port: 3000, path: '/docs' });
    await teller.signal.emit({ name: 'progress', data: '0.4' });
    await until(() => told.length === 3, { what: 'what was told' });
    expect(told).toEqual(['port', 'serverReady', 'custom']);
    await Promise.all([reader.disconnect(), teller.disconnect()]);
  });
});
