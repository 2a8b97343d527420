import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GapReason } from '../../../../gen/computesdk/v1/stream_pb.ts';
import { AttachTerminalRequestSchema } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { principalToHeaders } from '../../../../server/rpc/principal-headers.ts';
import { residentBytes } from '../../../support/processes.ts';
import { delay, until } from '../../../support/until.ts';
import { actor, BOB } from '../support/actors.ts';
import { AgentProcess, ALICE } from '../support/agent-process.ts';
import {
  describeError,
  RemoteStream,
  RemoteTerminal,
  refusalOf,
} from '../support/remote-terminal.ts';

const MIB = 1024 * 1024;
let agent: AgentProcess;
let terminals: ReturnType<AgentProcess['terminals']>;

beforeAll(async () => {
  agent = await AgentProcess.start();
  terminals = agent.terminals();
});

afterAll(() => agent[Symbol.asyncDispose]());

/** Prints so many bytes that are all different from their neighbours, unchanged by the terminal. */
const printBytes = (count: number) =>
  `stty raw; i=0; seq -w 0 99999999 | tr -d '\\n' | head -c ${count}`;

function printed(count: number): string {
  let text = '';
  for (let index = 0; text.length < count; index += 1) text += String(index).padStart(8, '0');
  return text.slice(0, count);
}

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');

/** A connection that asks for a stream and then takes nothing of it. */
function stalledStream(agentProcess: AgentProcess, terminalId: string): () => void {
  const message = toBinary(
    AttachTerminalRequestSchema,
    create(AttachTerminalRequestSchema, { terminalId }),
  );
  const envelope = Buffer.alloc(5 + message.length);
  envelope.writeUInt32BE(message.length, 1);
  envelope.set(message, 5);
  const call = request({
    socketPath: agentProcess.socketPath,
    method: 'POST',
    path: '/computesdk.v1.TerminalService/AttachTerminal',
    headers: {
      'Content-Type': 'application/connect+proto',
      'Connect-Protocol-Version': '1',
      ...principalToHeaders({ id: 'tok-stalled', ...actor('stalled'), scopes: ['terminal:read'] }),
    },
  });
  call.on('error', () => {});
  call.on('response', (response) => {
    response.pause();
    response.on('error', () => {});
  });
  call.end(envelope);
  return () => call.destroy();
}

describe('AttachTerminal', () => {
  it('replays from a cursor and goes on live, without a seam', async () => {
    const terminal = await RemoteTerminal.run(terminals, 'echo one; read; echo two; read', {});
    const first = terminal.attach({ acknowledges: true });
    await first.seen('one\r\n');
    const cursor = BigInt('one\r'.length);
    await first.leave();
    const second = terminal.attach({ cursor });
    await second.seen('\n');
    expect(second.all('ready')).toMatchObject([
      { cursor, replayUntil: 5n, readerId: terminal.readerId },
    ]);
    await terminal.type('x\n');
    await second.seen('two');
    expect(second.text).toBe('\nx\r\ntwo\r\n');
    await terminals.destroyTerminal({ terminalId: terminal.id });
    await second.ended;
  });

  it('refuses a cursor beyond the end', async () => {
    const terminal = await RemoteTerminal.run(terminals, 'read');
    const stream = terminal.attach({ cursor: 1000n });
    expect(describeError(await stream.ended)).toBe('OutOfRange CURSOR_OUT_OF_RANGE cursor');
    const far = terminal.attach({ cursor: 2n ** 64n - 1n });
    expect(describeError(await far.ended)).toBe('OutOfRange CURSOR_OUT_OF_RANGE cursor');
    await terminals.destroyTerminal({ terminalId: terminal.id });
  });

  it('keeps everything for a reader that was reserved when the program exits before it comes', async () => {
    const terminal = await RemoteTerminal.run(terminals, `${printBytes(3 * MIB)}; exit 3`);
    await delay(300);
    const stream = terminal.attach();
    expect(await stream.ended).toBeUndefined();
    expect(sha256(stream.output)).toBe(sha256(printed(3 * MIB)));
    expect(stream.all('gap')).toEqual([]);
    expect(await stream.first('exited')).toMatchObject({ cursor: BigInt(3 * MIB), exitCode: 3 });
  });

  it('loses nothing when the program exits while it is paused for a reader that was cut', async () => {
    // The program fills the log to the brim, so that its last bytes wait in the kernel.
    const terminal = await RemoteTerminal.run(terminals, `${printBytes(MIB + 60_000)}; exit 5`);
    const first = terminal.attach({ acknowledges: true });
    await first.seen('00000001');
    await first.leave();
    await until(
      async () => {
        const { terminal: record } = await terminals.getTerminal({ terminalId: terminal.id });
        return record?.exitCode !== undefined;
      },
      { what: 'the exit', withinMs: 2000 },
    ).catch(() => undefined);
    const stream = terminal.attach({ cursor: 0n });
    await stream.ended;
    expect(sha256(stream.output)).toBe(sha256(printed(MIB + 60_000)));
    expect(await stream.first('exited')).toMatchObject({ exitCode: 5 });
  });

  it('gives every message at most 65,504 bytes, and few of them in a flood', async () => {
    const terminal = await RemoteTerminal.run(terminals, printBytes(8 * MIB));
    const stream = terminal.attach();
    await stream.ended;
    const sizes = stream.all('output').map(({ data }) => data.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(65_504);
    expect(Math.min(...sizes)).toBeGreaterThan(0);
    expect(sha256(stream.output)).toBe(sha256(printed(8 * MIB)));
    expect(sizes.length).toBeLessThan((8 * MIB) / 8192);
  });

  it('lets a lease that ended lose only what the log no longer holds, and says so once', async () => {
    const terminal = await RemoteTerminal.run(terminals, `read; ${printBytes(4 * MIB)}; read`, {
      readerLease: { seconds: 0n },
    });
    const first = terminal.attach({ lease: { seconds: 0n, nanos: 50_000_000 } });
    const { readerId } = await first.first('ready');
    await terminal.type('\n');
    await first.seen('00000001');
    await first.leave();
    const cursorBefore = BigInt(first.output.length);
    await until(
      async () => {
        const { terminal: record } = await terminals.getTerminal({ terminalId: terminal.id });
        return (record?.cursor ?? 0n) >= BigInt(4 * MIB);
      },
      { what: 'the program running on' },
    );
    const second = terminal.attach({ readerId, cursor: cursorBefore });
    const gap = await second.first('gap');
    expect(gap).toMatchObject({ from: cursorBefore, reason: GapReason.LEASE_EXPIRED });
    await until(() => BigInt(second.output.length) + gap.to >= BigInt(4 * MIB), {
      what: 'the rest',
    });
    // The echo of the line that started it comes first.
    const all = `\r\n${printed(4 * MIB)}`;
    expect(sha256(second.output)).toBe(
      sha256(all.slice(Number(gap.to), Number(gap.to) + second.output.length)),
    );
    expect(second.all('gap')).toHaveLength(1);
    await second.leave();
    await terminals.destroyTerminal({ terminalId: terminal.id });
  });

  it('ends when the reader detaches, and leaves no lease', async () => {
    const terminal = await RemoteTerminal.run(terminals, `read; ${printBytes(4 * MIB)}; read`);
    const stream = terminal.attach({ acknowledges: true });
    await stream.first('ready');
    await terminal.type('\n');
    await until(() => stream.output.length === 768 * 1024, { what: 'a full window' });
    const { id: terminalId, readerId } = terminal;
    await terminals.detachTerminal({ terminalId, readerId });
    expect(await stream.ended).toBeUndefined();
    await until(
      async () => {
        const { terminal: record } = await terminals.getTerminal({ terminalId });
        return (record?.cursor ?? 0n) >= BigInt(4 * MIB);
      },
      { what: 'the program running on' },
    );
    await terminals.detachTerminal({ terminalId, readerId });
    await terminals.destroyTerminal({ terminalId });
  });

  it('sends sizes as events and the size in force first', async () => {
    const terminal = await RemoteTerminal.create(terminals, { cols: 90, rows: 20 });
    const stream = terminal.attach();
    await stream.first('resized');
    await terminals.resizeTerminal({ terminalId: terminal.id, cols: 120, rows: 40 });
    await terminal.type('stty size\n');
    await stream.seen('40 120');
    expect(stream.all('resized')).toMatchObject([
      { cols: 90, rows: 20 },
      { cols: 120, rows: 40 },
    ]);
    const late = terminal.attach({ readerId: '', cursor: BigInt(stream.output.length) });
    expect(await late.first('resized')).toMatchObject({ cols: 120, rows: 40 });
    for (const [cols, rows] of [
      [0, 24],
      [80, 4097],
      [2 ** 32 - 1, 1],
    ] as const) {
      const refusal = await refusalOf(
        terminals.resizeTerminal({ terminalId: terminal.id, cols, rows }),
      );
      expect(refusal).toMatch(/^InvalidArgument INVALID_ARGUMENT (cols|rows)$/);
    }
    await late.leave();
    await terminals.destroyTerminal({ terminalId: terminal.id });
    await stream.ended;
  });

  it('gives no writer to who may only read', async () => {
    const terminal = await RemoteTerminal.run(terminals, 'read');
    const reader = agent.terminals({ ...ALICE, ...BOB, scopes: ['terminal:read'] });
    const stream = new RemoteStream(reader, { terminalId: terminal.id });
    expect(await stream.first('ready')).toMatchObject({ writerId: '' });
    await stream.leave();
    await terminals.destroyTerminal({ terminalId: terminal.id });
  });

  it('says that it lives when it is idle for 5 seconds', async () => {
    const terminal = await RemoteTerminal.run(terminals, 'read');
    const stream = terminal.attach();
    await stream.first('keepAlive');
    await stream.leave();
    await terminals.destroyTerminal({ terminalId: terminal.id });
  });

  it('refuses the 257th stream of a sandbox by name of the limit', async () => {
    const terminal = await RemoteTerminal.run(terminals, 'read');
    const clients = Array.from({ length: 2 }, () => agent.terminals());
    const streams = Array.from(
      { length: 256 },
      (_, index) =>
        new RemoteStream(clients[index % 2] ?? terminals, {
          terminalId: terminal.id,
          writerId: terminal.writerId,
        }),
    );
    await Promise.all(streams.map((stream) => stream.first('ready')));
    const refused = new RemoteStream(terminals, {
      terminalId: terminal.id,
      writerId: terminal.writerId,
    });
    expect(describeError(await refused.ended)).toBe('ResourceExhausted LIMIT_REACHED');
    await terminals.destroyTerminal({ terminalId: terminal.id });
    await Promise.all(streams.map((stream) => stream.ended));
  });
});

describe('stalled viewers', () => {
  const grown = async (task: () => Promise<void>) => {
    const before = residentBytes(agent.child.pid ?? 0);
    await task();
    return (residentBytes(agent.child.pid ?? 0) - before) / MIB;
  };
  const flood = async (stalled: number) => {
    const terminal = await RemoteTerminal.run(terminals, `read; ${printBytes(40 * MIB)}; read`);
    const stream = terminal.attach();
    await stream.first('ready');
    const release = Array.from({ length: stalled }, () => stalledStream(agent, terminal.id));
    try {
      await terminal.type('\n');
      const isDone = () => stream.output.length >= 40 * MIB;
      await until(isDone, { what: 'all output', withinMs: 15_000 });
      expect(stream.all('gap')).toEqual([]);
    } finally {
      for (const end of release) end();
    }
    await stream.leave();
    await terminals.destroyTerminal({ terminalId: terminal.id });
  };

  it.each([1, 10, 50])(
    '%i of them grow no memory, nor hold up one that reads',
    { timeout: 60_000 },
    async (count) => {
      for (let warmUp = 0; warmUp < 2; warmUp += 1) await flood(0);
      expect(await grown(() => flood(count))).toBeLessThan(16);
    },
  );
});
