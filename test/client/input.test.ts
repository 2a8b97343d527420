import { Code } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_QUEUED_BYTES } from '../../client/connection/input-queue.ts';
import type { Sandbox } from '../../client/sandbox.ts';
import type { Terminal } from '../../client/terminal.ts';
import { ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import { refusal } from './support/fake-terminal.ts';

let gateway: FakeGateway;
let sandbox: Sandbox;
let terminal: Terminal;
let errors: string[];

beforeEach(async () => {
  gateway = new FakeGateway();
  sandbox = await gateway.connect();
  terminal = await sandbox.terminal.create();
  errors = [];
  terminal.on('error', (error) => errors.push(error.code));
  await gateway.clock.advance(0);
});

afterEach(async () => {
  await sandbox.disconnect();
});

/** The most WriteTerminal calls that were open at once, with all of them held back. */
async function openCalls(): Promise<number> {
  await settle();
  return gateway.network.callsOf('WriteTerminal');
}

describe('input', () => {
  it('is applied once and in order although it is not awaited', async () => {
    const writes = Array.from({ length: 500 }, (_, index) => terminal.write(`${index};`));
    await Promise.all(writes);
    const expected = Array.from({ length: 500 }, (_, index) => `${index};`).join('');
    expect(gateway.lastTerminal.typedText).toBe(expected);
  });

  it('has 16 requests under way at the most, and the rest travels together', async () => {
    gateway.network.unaryFate = () => 'black_hole';
    for (let index = 0; index < 1_000; index += 1) void terminal.write('x');
    expect(await openCalls()).toBe(16);
    gateway.network.unaryFate = () => 'pass';
    await gateway.clock.advance(13_000);
    expect(gateway.lastTerminal.typedText).toBe('x'.repeat(1_000));
    expect(gateway.lastTerminal.typed).toHaveLength(17);
  });

  it('cuts a large write into requests of 64 KiB', async () => {
    const data = crypto.getRandomValues(new Uint8Array(65_536));
    const large = new Uint8Array(300_000).map((_, index) => data[index % 65_521] ?? 0);
    await terminal.write(large);
    expect(gateway.lastTerminal.typed.map(({ byteLength }) => byteLength)).toEqual([
      65_536, 65_536, 65_536, 65_536, 37_856,
    ]);
    expect(Buffer.concat(gateway.lastTerminal.typed).equals(large)).toBe(true);
  });

  it('does not change when the caller reuses its buffer', async () => {
    gateway.network.isDown = true;
    const buffer = new TextEncoder().encode('before');
    const write = terminal.write(buffer);
    buffer.fill(0);
    gateway.network.isDown = false;
    await gateway.clock.advance(1_000);
    await write;
    expect(gateway.lastTerminal.typedText).toBe('before');
  });

  it('refuses a write at once when 1 MiB waits, takes more when there is room', async () => {
    gateway.network.unaryFate = () => 'lose_request';
    const full = terminal.write(new Uint8Array(MAX_QUEUED_BYTES));
    await expect(terminal.write('x')).rejects.toMatchObject({ code: 'queue_full', field: 'data' });
    await expect(terminal.write('y')).rejects.toMatchObject({ code: 'queue_full' });
    expect(errors).toEqual(['queue_full']);
    gateway.network.unaryFate = () => 'pass';
    await gateway.clock.advance(60_000);
    await full;
    await terminal.write('z');
    expect(gateway.lastTerminal.typed.at(-1)).toEqual(Uint8Array.of(0x7a));
  });

  it('refuses 2 MiB in one write, with the bound', async () => {
    await expect(terminal.write(new Uint8Array(2 * 1024 * 1024))).rejects.toMatchObject({
      code: 'too_large',
      field: 'data',
      message: expect.stringContaining('1048576'),
    });
    await terminal.write('still works');
    expect(gateway.lastTerminal.typedText).toBe('still works');
  });

  it('keeps its numbers over interruptions of any length', async () => {
    gateway.network.isDown = true;
    gateway.network.cutStreams();
    const writes = [terminal.write('a'), terminal.write('b')];
    await gateway.clock.advance(3_600_000);
    expect(sandbox.connection.state).toBe('reconnecting');
    gateway.network.isDown = false;
    await gateway.clock.advance(31_000);
    await Promise.all(writes);
    expect(gateway.lastTerminal.typedText).toBe('ab');
    expect(errors).toEqual([]);
  });

  it('reports the outcome as unknown, once, and goes on with a new writer', async () => {
    gateway.network.isDown = true;
    const outcomes = Promise.allSettled([terminal.write('a'), terminal.write('b')]);
    await gateway.clock.advance(0);
    gateway.lastTerminal.forgetWriters();
    gateway.network.isDown = false;
    await gateway.clock.advance(2_000);
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ reason: { code: 'outcome_unknown' } });
    }
    expect(errors).toEqual(['outcome_unknown']);
    await terminal.write('later');
    expect(gateway.lastTerminal.typedText).toBe('later');
  });

  it('may be ignored: a rejection is never unhandled', async () => {
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): unknown => unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);
    gateway.lastTerminal.fail(refusal(Code.DataLoss, ErrorReason.LOST));
    void terminal.write('x');
    void terminal.write('y', { signal: AbortSignal.abort() });
    void terminal.resize(-1, 2);
    await settle();
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled).toEqual([]);
    expect(errors).toContain('lost');
  });

  it('takes back what was not sent when the signal fires', async () => {
    gateway.network.unaryFate = () => 'black_hole';
    const controller = new AbortController();
    for (let index = 0; index < 16; index += 1) void terminal.write(`${index}`);
    const write = terminal.write('never', { signal: controller.signal });
    controller.abort();
    await expect(write).rejects.toMatchObject({ code: 'canceled' });
    gateway.network.unaryFate = () => 'pass';
    await gateway.clock.advance(13_000);
    expect(gateway.lastTerminal.typedText).toBe('0123456789101112131415');
  });

  it('reaches a terminal that was found, without a listener', async () => {
    const found = await sandbox.terminal.retrieve(terminal.id);
    await found.write('hello');
    expect(gateway.lastTerminal.typedText).toBe('hello');
  });

  it('lets an answer that is under way succeed when the program exits meanwhile', async () => {
    gateway.network.unaryFate = () => 'lose_response';
    const write = terminal.write('exit\n');
    await settle();
    expect(gateway.lastTerminal.typedText).toContain('exit\n');
    gateway.network.unaryFate = () => 'pass';
    await gateway.clock.advance(1_000);
    await write;
    gateway.lastTerminal.finish({ exitCode: 0 });
    await settle();
    await expect(terminal.write('x')).rejects.toMatchObject({ code: 'exited' });
    expect(errors).toEqual([]);
  });
});
