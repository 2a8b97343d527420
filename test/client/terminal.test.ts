import { Code } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../client/sandbox.ts';
import type { Terminal } from '../../client/terminal.ts';
import type { TerminalGap } from '../../client/terminal-events.ts';
import { ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import { refusal } from './support/fake-terminal.ts';

let gateway: FakeGateway;
let sandbox: Sandbox;

beforeEach(async () => {
  gateway = new FakeGateway();
  sandbox = await gateway.connect();
});

afterEach(async () => {
  await sandbox.disconnect();
  await settle();
  expect(gateway.network.streams).toBe(0);
  expect(gateway.clock.pendingTimers).toBe(0);
});

/** Collects the text of a terminal. */
function record(terminal: Terminal): { text: string; exits: unknown[]; errors: string[] } {
  const seen = { text: '', exits: [] as unknown[], errors: [] as string[] };
  terminal.on('output', (text) => {
    seen.text += text;
  });
  terminal.on('exit', (exit) => seen.exits.push(exit));
  terminal.on('error', (error) => seen.errors.push(error.code));
  return seen;
}

describe('a terminal', () => {
  it('delivers output that was produced before the first listener', async () => {
    const terminal = await sandbox.terminal.create();
    gateway.lastTerminal.print('prompt$ ');
    await gateway.clock.advance(5_000);
    expect(gateway.lastTerminal.attaches).toHaveLength(0);
    const seen = record(terminal);
    await gateway.clock.advance(0);
    expect(seen.text).toBe('prompt$ ');
    expect(gateway.lastTerminal.attaches[0]?.readerId).toBe('rdr-reserved');
    expect(gateway.lastTerminal.attaches[0]?.acknowledges).toBe(true);
  });

  it('does not call the first output of its own terminal a replay, but what it finds is one', async () => {
    const created = await sandbox.terminal.create();
    gateway.lastTerminal.print('first');
    const replays: boolean[] = [];
    created.on('data', (_data, { replay }) => replays.push(replay));
    await gateway.clock.advance(0);
    const found = await sandbox.terminal.retrieve(created.id);
    found.on('data', (_data, { replay }) => replays.push(replay));
    await gateway.clock.advance(0);
    gateway.lastTerminal.print('live');
    await settle();
    expect(replays).toEqual([false, true, false, false]);
  });

  it('goes on after a cut without losing or repeating a byte', async () => {
    const terminal = await sandbox.terminal.create();
    const seen = record(terminal);
    terminal.on('data', (bytes) => expect(bytes.byteLength).toBeGreaterThan(0));
    gateway.lastTerminal.print('one ');
    await gateway.clock.advance(0);
    expect(gateway.network.cutStreams()).toBe(1);
    gateway.lastTerminal.print('two ');
    gateway.lastTerminal.overlapBytes = 3;
    await gateway.clock.advance(0);
    expect(seen.text).toBe('one two ');
    expect(gateway.lastTerminal.attaches.map(({ cursor }) => Number(cursor))).toEqual([0, 4]);
    gateway.lastTerminal.overlapBytes = 6_000;
    gateway.network.cutStreams();
    await gateway.clock.advance(0);
    gateway.lastTerminal.print('three');
    await settle();
    expect(seen.text).toBe('one two three');
    expect(seen.errors).toEqual([]);
  });

  it('decodes a character that was split between pieces and across a cut', async () => {
    const terminal = await sandbox.terminal.create();
    const seen = record(terminal);
    const bytes = new TextEncoder().encode('a€b');
    await gateway.clock.advance(0);
    gateway.lastTerminal.print(bytes.slice(0, 2));
    await settle();
    expect(seen.text).toBe('a');
    gateway.network.cutStreams();
    await gateway.clock.advance(0);
    gateway.lastTerminal.print(bytes.slice(2));
    await settle();
    expect(seen.text).toBe('a€b');
  });

  it('keeps a byte order mark, which is output like any other', async () => {
    const terminal = await sandbox.terminal.create();
    const seen = record(terminal);
    gateway.lastTerminal.print(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61));
    await gateway.clock.advance(0);
    expect(seen.text).toBe('\ufeffa');
  });

  it('tells a gap, then goes on exactly after it', async () => {
    const terminal = await sandbox.terminal.create();
    const seen = record(terminal);
    const gaps: TerminalGap[] = [];
    terminal.on('gap', (gap) => gaps.push(gap));
    gateway.lastTerminal.print('12345');
    await gateway.clock.advance(0);
    gateway.network.isDown = true;
    gateway.network.cutStreams();
    gateway.lastTerminal.print('67890');
    gateway.lastTerminal.evict(8);
    gateway.network.isDown = false;
    await gateway.clock.advance(1_000);
    expect(gaps).toEqual([{ from: 5, to: 8, reason: 'lease_expired' }]);
    expect(seen.text).toBe('1234590');
  });

  it('tells a terminal that is found what was evicted before', async () => {
    const fake = gateway.addTerminal();
    fake.print('0123456789');
    fake.evict(4);
    const terminal = await sandbox.terminal.retrieve(fake.id);
    const gaps: TerminalGap[] = [];
    terminal.on('gap', (gap) => gaps.push(gap));
    const seen = record(terminal);
    await gateway.clock.advance(0);
    expect(gaps).toEqual([{ from: 0, to: 4, reason: 'lease_expired' }]);
    expect(seen.text).toBe('456789');
  });

  it('tells the exit once, after the last byte, and to late listeners too', async () => {
    const terminal = await sandbox.terminal.create();
    const seen = record(terminal);
    gateway.lastTerminal.print('bye');
    gateway.lastTerminal.finish({ exitCode: 3 });
    await gateway.clock.advance(0);
    expect(seen).toEqual({ text: 'bye', exits: [{ exitCode: 3, signal: undefined }], errors: [] });
    expect([terminal.status, terminal.exitCode, terminal.signal]).toEqual(['exited', 3, undefined]);
    const late: unknown[] = [];
    terminal.on('exit', (exit) => late.push(exit));
    await settle();
    expect(late).toEqual([{ exitCode: 3, signal: undefined }]);
    await expect(terminal.write('x')).rejects.toMatchObject({ code: 'exited' });
  });

  it('never takes a dropped stream for an exit', async () => {
    const terminal = await sandbox.terminal.create();
    const seen = record(terminal);
    await gateway.clock.advance(0);
    gateway.network.isDown = true;
    gateway.network.cutStreams();
    await gateway.clock.advance(600_000);
    expect(seen).toEqual({ text: '', exits: [], errors: [] });
    expect(terminal.status).toBe('running');
    gateway.network.isDown = false;
    gateway.lastTerminal.finish({ signal: 'SIGKILL' });
    await gateway.clock.advance(31_000);
    expect(seen.exits).toEqual([{ exitCode: undefined, signal: 'SIGKILL' }]);
  });

  it('is lost, not exited, when the process that held it died', async () => {
    const terminal = await sandbox.terminal.create();
    const seen = record(terminal);
    await gateway.clock.advance(0);
    gateway.lastTerminal.fail(refusal(Code.DataLoss, ErrorReason.LOST));
    await settle();
    expect(seen.errors).toEqual(['lost']);
    expect(seen.exits).toEqual([]);
    expect(terminal.status).toBe('lost');
    await expect(terminal.write('x')).rejects.toMatchObject({ code: 'lost' });
  });

  it('reads again what passed while only the exit was listened for', async () => {
    const terminal = await sandbox.terminal.create();
    const exits: unknown[] = [];
    terminal.on('exit', (exit) => exits.push(exit));
    gateway.lastTerminal.print('unheard ');
    await gateway.clock.advance(1_000);
    expect(gateway.lastTerminal.acknowledged).toEqual([8]);
    let text = '';
    terminal.on('output', (data) => {
      text += data;
    });
    gateway.lastTerminal.print('heard');
    await gateway.clock.advance(0);
    expect(text).toBe('unheard heard');
    expect(gateway.lastTerminal.attaches.map(({ cursor }) => Number(cursor))).toEqual([0, 0]);
    gateway.lastTerminal.finish({ exitCode: 0 });
    await settle();
    expect(exits).toHaveLength(1);
  });

  it('reads the output of an exited terminal for a listener that comes after the exit', async () => {
    const terminal = await sandbox.terminal.create();
    const exits: unknown[] = [];
    terminal.on('exit', (exit) => exits.push(exit));
    gateway.lastTerminal.print('last words');
    gateway.lastTerminal.finish({ exitCode: 0 });
    await gateway.clock.advance(0);
    let text = '';
    terminal.on('output', (data) => {
      text += data;
    });
    await gateway.clock.advance(0);
    expect(text).toBe('last words');
    expect(exits).toHaveLength(1);
  });

  it('loses nothing between two once() listeners', async () => {
    const terminal = await sandbox.terminal.create();
    const pieces: string[] = [];
    terminal.once('output', (text) => pieces.push(text));
    gateway.lastTerminal.print('a'.repeat(1_000));
    gateway.lastTerminal.print('b'.repeat(1_000));
    await gateway.clock.advance(0);
    expect(pieces).toEqual(['a'.repeat(1_000)]);
    terminal.once('output', (text) => pieces.push(text));
    await gateway.clock.advance(0);
    expect(pieces[1]).toBe('b'.repeat(1_000));
  });

  it('acknowledges every 128 KiB at once and the rest when idle', async () => {
    const terminal = await sandbox.terminal.create();
    record(terminal);
    gateway.lastTerminal.print(new Uint8Array(300_000));
    await gateway.clock.advance(0);
    const early = gateway.lastTerminal.acknowledged;
    expect(early.length).toBeGreaterThanOrEqual(2);
    expect(early[0]).toBeGreaterThanOrEqual(128 * 1024);
    await gateway.clock.advance(1_000);
    expect(gateway.lastTerminal.acknowledged.at(-1)).toBe(300_000);
    expect(gateway.lastTerminal.acknowledged.length).toBeLessThanOrEqual(4);
  });

  it('sends only the last of many sizes, and follows the size of others', async () => {
    const terminal = await sandbox.terminal.create();
    for (let cols = 100; cols < 200; cols += 1) void terminal.resize(cols, 40);
    await settle();
    expect(gateway.sizes).toEqual([
      [100, 40],
      [199, 40],
    ]);
    expect([terminal.cols, terminal.rows]).toEqual([199, 40]);
    await expect(terminal.resize(-1, 40)).rejects.toMatchObject({
      code: 'invalid_argument',
      field: 'cols',
    });
  });

  it('detaches for good and goes on where it was when somebody listens again', async () => {
    const terminal = await sandbox.terminal.create();
    const seen = record(terminal);
    gateway.lastTerminal.print('one ');
    await gateway.clock.advance(0);
    await terminal.detach();
    expect(gateway.lastTerminal.detached).toBe(1);
    expect(gateway.network.streams).toBe(0);
    gateway.lastTerminal.print('two');
    await gateway.clock.advance(10_000);
    expect(seen.text).toBe('one ');
    terminal.on('data', () => {});
    await gateway.clock.advance(0);
    expect(seen.text).toBe('one two');
  });

  it('isolates a listener that throws', async () => {
    const reported: unknown[] = [];
    globalThis.reportError = (error: unknown) => reported.push(error);
    try {
      const terminal = await sandbox.terminal.create();
      terminal.on('output', () => {
        throw new Error('bad listener');
      });
      const seen = record(terminal);
      gateway.lastTerminal.print('fine');
      await gateway.clock.advance(0);
      expect(seen.text).toBe('fine');
      expect(reported).toMatchObject([{ message: 'bad listener' }]);
    } finally {
      Reflect.deleteProperty(globalThis, 'reportError');
    }
  });
});
