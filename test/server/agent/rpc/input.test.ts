import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { delay } from '../../../support/until.ts';
import { BOB } from '../support/actors.ts';
import { AgentProcess, ALICE } from '../support/agent-process.ts';
import { RemoteTerminal, refusalOf } from '../support/remote-terminal.ts';

let agent: AgentProcess;
let terminals: ReturnType<AgentProcess['terminals']>;

beforeAll(async () => {
  agent = await AgentProcess.start();
  terminals = agent.terminals();
});

afterAll(() => agent[Symbol.asyncDispose]());

/** A program that shows every byte it gets, once and unchanged. */
const ECHO = 'stty raw -echo; echo ready; exec cat';

async function echoing() {
  const terminal = await RemoteTerminal.run(terminals, ECHO);
  const stream = terminal.attach();
  await stream.seen('ready\n');
  const { id: terminalId, writerId } = terminal;
  const write = (sequence: number, text: string) =>
    terminals.writeTerminal({
      ...{ terminalId, writerId },
      sequence: BigInt(sequence),
      data: Buffer.from(text),
    });
  const end = async () => {
    await terminals.destroyTerminal({ terminalId });
    await stream.ended;
  };
  return { terminal, stream, write, end };
}

describe('WriteTerminal', () => {
  it('applies 2,000 un-awaited, repeated and reordered inputs once and in order', async () => {
    const { stream, write, end } = await echoing();
    const texts = Array.from({ length: 2000 }, (_, index) => `${index + 1},`);
    let duplicates = 0;
    for (let start = 0; start < texts.length; start += 100) {
      const calls = texts.slice(start, start + 100).flatMap((text, index) => {
        const sequence = start + index + 1;
        return sequence % 5 === 0
          ? [
              { sequence, text },
              { sequence, text },
            ]
          : [{ sequence, text }];
      });
      const answers = await Promise.all(
        calls.reverse().map(({ sequence, text }) => write(sequence, text)),
      );
      duplicates += answers.filter(({ duplicate }) => duplicate).length;
    }
    await stream.seen('2000,');
    expect(stream.text).toBe(`ready\n${texts.join('')}`);
    expect(duplicates).toBe(400);
    await end();
  }, 40_000);

  it('types unnumbered input, and numbered input only with a writer', async () => {
    const { terminal, stream, end } = await echoing();
    const { id: terminalId } = terminal;
    await terminals.writeTerminal({ terminalId, data: Buffer.from('plain') });
    await stream.seen('plain');
    const numbered = { terminalId, sequence: 1n, data: Buffer.from('x') };
    expect(await refusalOf(terminals.writeTerminal(numbered))).toBe(
      'InvalidArgument INVALID_ARGUMENT writerId',
    );
    await end();
  });

  it('knows a writer by its principal, whichever token it uses', async () => {
    const { terminal, stream, end } = await echoing();
    const { id: terminalId, writerId } = terminal;
    const input = { terminalId, writerId, sequence: 1n, data: Buffer.from('refreshed') };
    const refreshed = agent.terminals({ ...ALICE, id: 'tok-refreshed' });
    expect(await refreshed.writeTerminal(input)).toMatchObject({ duplicate: false });
    expect(await terminals.writeTerminal(input)).toMatchObject({ duplicate: true });
    const other = agent.terminals({ ...ALICE, ...BOB });
    expect(await refusalOf(other.writeTerminal(input))).toBe(
      'FailedPrecondition WRITER_EXPIRED writerId',
    );
    await stream.seen('refreshed');
    await end();
  });

  it('refuses more than 64 KiB in a call, and more than 1 MiB for a program that does not read', async () => {
    const terminal = await RemoteTerminal.run(terminals, 'stty raw -echo; echo ready; sleep 60');
    const stream = terminal.attach();
    await stream.seen('ready');
    const { id: terminalId } = terminal;
    const write = (bytes: number) =>
      terminals.writeTerminal({ terminalId, data: Buffer.alloc(bytes, 'x') });
    expect(await refusalOf(write(65_537))).toBe('InvalidArgument INVALID_ARGUMENT data');
    expect(await refusalOf(write(2 * 1024 * 1024))).toMatch(/^ResourceExhausted/);
    const waiting = Array.from({ length: 24 }, () => refusalOf(write(65_536)).catch(() => 'taken'));
    await expect
      .poll(() => Promise.race([...waiting, Promise.resolve('none yet')]))
      .toBe('ResourceExhausted LIMIT_REACHED data');
    await terminals.destroyTerminal({ terminalId });
    const ends = new Set(await Promise.all(waiting));
    expect([...ends].sort()).toEqual(
      expect.arrayContaining(['FailedPrecondition EXITED', 'ResourceExhausted LIMIT_REACHED data']),
    );
    await stream.ended;
  });

  it('to a terminal that has exited says so', async () => {
    const terminal = await RemoteTerminal.run(terminals, ':');
    await terminal.outputToEnd();
    expect(await refusalOf(terminal.type('x'))).toBe('FailedPrecondition EXITED');
  });
});

it('answers a lone key about as fast as it answers any call, and logs no byte of it', async () => {
  const { terminal, stream, write, end } = await echoing();
  const [calls, keys]: [number[], number[]] = [[], []];
  for (let key = 1; key <= 100; key += 1) {
    // A person's pace: what follows within 4 ms is no lone key.
    await delay(6);
    const start = performance.now();
    await terminals.getTerminal({ terminalId: terminal.id });
    const called = performance.now();
    const expected = stream.output.length + 'canary!'.length;
    await write(key, 'canary!');
    while (stream.output.length < expected) await new Promise((resolve) => setImmediate(resolve));
    calls.push(called - start);
    keys.push(performance.now() - called);
  }
  // Seen: 0.9 to 1.4 times. Output that waits 4 ms for a batch makes it more than 3.
  expect(quick(keys) / quick(calls)).toBeLessThan(2.5);
  await end();
  expect(agent.stderr).not.toContain('canary');
  for (const line of agent.stderr.trim().split('\n')) {
    expect(JSON.parse(line)).toHaveProperty('level');
  }
});

/** What a fifth of the times did not exceed: the part that a busy machine disturbs least. */
function quick(times: number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 5)] ?? Number.NaN;
}
