import { describe, expect, it } from 'vitest';
import type { TerminalEvent } from '../../../../server/agent/terminal/events.ts';
import { fakeTerminal, type Viewer } from '../support/fake-terminal.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZE = { cols: 80, rows: 24 };

async function readToEnd(viewer: Viewer): Promise<TerminalEvent[]> {
  const events = [];
  for (let event = await viewer.next(); event; event = await viewer.next()) events.push(event);
  return events;
}

describe('the size', () => {
  it('is an event in the log, at the place in the output where it changed', async () => {
    const { session, program, attach, clock } = fakeTerminal({}, SIZE);
    program.print(10);
    session.resize({ cols: 100, rows: 30 });
    program.print(5);
    clock.advance(100);
    program.exit({ exitCode: 0, signal: '' });
    const events = await readToEnd(attach());
    expect(events.map(({ type }) => type)).toEqual([
      ...['ready', 'resized', 'output', 'resized', 'output', 'exited'],
    ]);
    expect(events[1]).toMatchObject({ cursor: 0, ...SIZE });
    expect(events[3]).toMatchObject({ cursor: 10, cols: 100, rows: 30 });
  });

  it('changes rarely when it is changed 10,000 times a second, and the last one holds', () => {
    const { session, program, clock } = fakeTerminal({}, SIZE);
    for (let change = 0; change < 10_000; change += 1) {
      session.resize({ cols: 1 + (change % 200), rows: 24 });
      clock.advance(0.1);
    }
    clock.advance(100);
    expect(program.sizes.length).toBeLessThan(70);
    expect(program.sizes.at(-1)).toEqual({ cols: 200, rows: 24 });
    expect(session.state.size).toEqual({ cols: 200, rows: 24 });
  });

  it('is known to the program before it gets what was typed afterwards', async () => {
    const { session, program } = fakeTerminal({}, SIZE);
    session.resize({ cols: 90, rows: 24 });
    session.resize({ cols: 100, rows: 24 });
    expect(program.sizes).toHaveLength(1);
    await session.writers.writeUnnumbered(Buffer.from('x'));
    expect(program.sizes.at(-1)).toEqual({ cols: 100, rows: 24 });
  });

  it('that does not change is no event', () => {
    const { session, program } = fakeTerminal({}, SIZE);
    session.resize(SIZE);
    expect(program.sizes).toEqual([]);
  });

  it.each([
    ['cols', 0],
    ['cols', 4097],
    ['rows', 0],
    ['rows', 70_000],
    ['rows', 1.5],
  ])('with %s %d is refused by name and bound', (field, value) => {
    const { session } = fakeTerminal({}, SIZE);
    expect(() => session.resize({ ...SIZE, [field]: value })).toThrow(
      `${field}: must be 1 to 4096`,
    );
  });

  it('cannot be set without a pseudo terminal', () => {
    const { session } = fakeTerminal();
    expect(() => session.resize(SIZE)).toThrow(
      expect.objectContaining({ reason: 'FAILED_PRECONDITION' }),
    );
  });
});

describe('the exit', () => {
  it('comes after the last byte, even when the program was paused and printed on', async () => {
    const { program, attach } = fakeTerminal();
    const viewer = attach();
    await viewer.next();
    program.flood(5 * MIB);
    program.print(200 * KIB);
    program.exit({ exitCode: 3, signal: '' });
    const events = await readToEnd(viewer);
    expect(viewer.cursor).toBe(program.printed);
    expect(viewer.gaps).toEqual([]);
    expect(events.at(-1)).toEqual({
      type: 'exited',
      cursor: program.printed,
      exit: { exitCode: 3, signal: '' },
    });
  });

  it('is told to whoever attaches later, with the last 64 KiB', async () => {
    const { program, attach, clock, session } = fakeTerminal();
    program.flood(500 * KIB);
    program.exit({ signal: 'SIGKILL' });
    clock.advance(30_000);
    expect(session.state).toMatchObject({ cursor: 500 * KIB, exit: { signal: 'SIGKILL' } });
    expect(session.state.exit).not.toHaveProperty('exitCode');
    const viewer = attach();
    const events = await readToEnd(viewer);
    expect(viewer.gaps).toMatchObject([{ from: 0, to: 436 * KIB, reason: 'EVICTED' }]);
    expect(events.at(-1)?.type).toBe('exited');
  });

  it('leaves everything to a reader that comes back within its lease', async () => {
    const { program, attach, clock } = fakeTerminal();
    const viewer = attach({ leaseMs: 60_000 });
    await viewer.next();
    viewer.stream.close();
    program.flood(900 * KIB);
    program.exit({ exitCode: 0, signal: '' });
    clock.advance(50_000);
    const back = attach({ readerId: viewer.readerId, cursor: 0 });
    await readToEnd(back);
    expect([back.gaps, back.cursor]).toEqual([[], program.printed]);
  });

  it('makes input, sizes and signals fail with EXITED', async () => {
    const { program, session } = fakeTerminal({}, SIZE);
    program.exit({ exitCode: 0, signal: '' });
    const exited = expect.objectContaining({ reason: 'EXITED' });
    await expect(session.writers.writeUnnumbered(Buffer.from('x'))).rejects.toEqual(exited);
    expect(() => session.resize({ cols: 1, rows: 1 })).toThrow(exited);
    expect(() => session.signal('SIGINT')).toThrow(exited);
  });

  it('leaves no timer once the terminal was forgotten and its streams ended', async () => {
    const { program, attach, session, clock } = fakeTerminal({}, SIZE);
    const viewer = attach();
    program.flood(2 * MIB);
    session.resize({ cols: 1, rows: 1 });
    session.resize({ cols: 2, rows: 1 });
    program.exit({ exitCode: 0, signal: '' });
    session.dispose();
    expect((await readToEnd(viewer)).at(-1)?.type).toBe('exited');
    clock.advance(30_000);
    expect(clock.pendingTimers).toBe(0);
  });
});

it('refuses a signal that is not in the list, and names the list', () => {
  const { session } = fakeTerminal();
  expect(() => session.signal('SIGSEGV')).toThrow('signal: must be one of SIGHUP, SIGINT');
});
