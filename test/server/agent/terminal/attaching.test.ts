import { describe, expect, it } from 'vitest';
import { ALICE, actor, BOB } from '../support/actors.ts';
import { fakeTerminal } from '../support/fake-terminal.ts';

const MIB = 1024 * 1024;

describe('attaching', () => {
  it('says which output was dropped before a reader first came', async () => {
    const { program, attach } = fakeTerminal();
    program.flood(3 * MIB);
    const viewer = attach();
    expect(await viewer.next()).toMatchObject({ type: 'ready', cursor: 0, replayUntil: 3 * MIB });
    expect(await viewer.next()).toEqual({ type: 'gap', from: 0, to: 2 * MIB, reason: 'EVICTED' });
    await viewer.readTo(3 * MIB);
  });

  it('refuses a cursor beyond the end and takes the end itself', () => {
    const { program, attach, streams } = fakeTerminal();
    program.print(10);
    expect(() => attach({ cursor: 11 })).toThrow(
      expect.objectContaining({ reason: 'CURSOR_OUT_OF_RANGE', field: 'cursor' }),
    );
    expect(streams.used).toBe(0);
    attach({ cursor: 10 });
  });

  it('refuses a lease out of bounds', () => {
    const { attach } = fakeTerminal();
    for (const leaseMs of [-1, 600_001, Number.NaN]) {
      expect(() => attach({ leaseMs })).toThrow('lease: must be 0 to 600 seconds');
    }
  });

  it('again ends the earlier stream of the reader, and needs no second place', async () => {
    const { attach, streams, program } = fakeTerminal({ streams: 1 });
    const first = attach({ leaseMs: 0 });
    await first.next();
    const second = attach({ readerId: first.readerId, leaseMs: 0 });
    await expect(first.next()).rejects.toMatchObject({ reason: 'CONFLICT' });
    program.print(5);
    await second.readTo(5);
    expect([second.readerId, streams.used]).toEqual([first.readerId, 1]);
    expect(() => attach()).toThrow(expect.objectContaining({ reason: 'LIMIT_REACHED' }));
    second.stream.close();
    expect(streams.used).toBe(0);
  });

  it("with another principal's reader makes a new one", async () => {
    const { attach } = fakeTerminal();
    const first = attach();
    await first.next();
    const second = attach({ actor: BOB, readerId: first.readerId });
    await second.next();
    expect(second.readerId).not.toBe(first.readerId);
    expect(first.stream.isClosed).toBe(false);
  });

  it('goes on as the same reader when a token takes the place of another', async () => {
    const { attach, program, session } = fakeTerminal();
    const first = attach();
    await first.next();
    program.print(5);
    await first.readTo(5);
    const successor = actor('first', 'alice', 'tok2');
    const second = attach({ actor: successor, readerId: first.readerId, cursor: 5 });
    program.print(5);
    await second.readTo(10);
    expect([second.readerId, second.gaps]).toEqual([first.readerId, []]);
    const { readerId } = second;
    session.readers.acknowledge({ readerId, actor: successor, cursor: 10 });
    session.readers.detach({ readerId, actor: successor });
    expect(await second.next()).toBeUndefined();
  });

  it('with a cursor of another incarnation tells a gap and starts at what is held', async () => {
    const { attach, program } = fakeTerminal();
    program.print(10);
    const viewer = attach({ incarnation: 'bot0', cursor: 5000 });
    await viewer.next();
    expect(await viewer.next()).toEqual({ type: 'gap', from: 5000, to: 0, reason: 'INCARNATION' });
    await viewer.readTo(10);
  });

  it('keeps what a reserved reader was promised, for as long as was promised', async () => {
    const { attach, program, session, clock } = fakeTerminal();
    const readerId = session.readers.reserve(ALICE, 60_000);
    program.flood(5 * MIB);
    clock.advance(59_000);
    const viewer = attach({ readerId, cursor: 0 });
    await viewer.readTo(program.printed);
    expect(viewer.gaps).toEqual([]);
  });

  it('remembers a bounded number of readers, and forgets the longest absent', async () => {
    const { attach } = fakeTerminal({ readers: 2 });
    const first = attach();
    await first.next();
    first.stream.close();
    const second = attach();
    await second.next();
    const third = attach();
    await third.next();
    third.stream.close();
    const again = attach({ readerId: first.readerId });
    await again.next();
    expect(again.readerId).not.toBe(first.readerId);
    expect(second.stream.isClosed).toBe(false);
    expect(() => attach()).toThrow(expect.objectContaining({ reason: 'LIMIT_REACHED' }));
  });
});
