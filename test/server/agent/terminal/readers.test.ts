import { describe, expect, it } from 'vitest';
import { ALICE, BOB } from '../support/actors.ts';
import { fakeTerminal, type Viewer } from '../support/fake-terminal.ts';

const MIB = 1024 * 1024;
const WINDOW = 768 * 1024;
/** What may be in flight between the program and the log. */
const SLACK = 64 * 1024;

async function readAndLeave(viewer: Viewer, cursor: number): Promise<string> {
  await viewer.readTo(cursor);
  viewer.stream.close();
  return viewer.readerId;
}

describe('a lone reader', () => {
  it('stops the program when it takes nothing, and loses nothing when it goes on', async () => {
    const { program, attach, clock } = fakeTerminal();
    const viewer = attach();
    await viewer.next();
    expect(program.flood(5 * MIB)).toBeLessThanOrEqual(MIB + SLACK);
    expect(program.isPaused).toBe(true);
    clock.advance(20_000);
    const total = 5 * MIB;
    while (program.printed < total) {
      await viewer.readTo(program.printed - SLACK);
      program.flood(total - program.printed);
    }
    await viewer.readTo(total);
    expect(viewer.gaps).toEqual([]);
  });

  it('does not stop the program at every message', async () => {
    const { program, attach } = fakeTerminal();
    const viewer = attach();
    await viewer.readTo(0);
    program.flood(5 * MIB);
    await viewer.readTo(32 * 1024);
    expect(program.isPaused).toBe(true);
    await viewer.readTo(256 * 1024);
    await viewer.next();
    expect(program.isPaused).toBe(false);
  });

  it('is waited for during its lease, and not after', async () => {
    const { program, attach, clock } = fakeTerminal();
    const readerId = await (async () => {
      const viewer = attach({ leaseMs: 10_000 });
      await viewer.next();
      viewer.stream.close();
      return viewer.readerId;
    })();
    program.flood(5 * MIB);
    clock.advance(9999);
    expect(program.isPaused).toBe(true);
    clock.advance(1);
    expect(program.isPaused).toBe(false);
    program.flood(2 * MIB);
    const back = attach({ readerId, cursor: 0 });
    await back.readTo(program.printed);
    expect(back.gaps).toMatchObject([{ from: 0, reason: 'LEASE_EXPIRED' }]);
    expect(back.readerId).toBe(readerId);
  });

  it('gets everything when it comes back within its lease', async () => {
    const { program, attach, clock } = fakeTerminal();
    const viewer = attach();
    program.flood(100_000);
    const readerId = await readAndLeave(viewer, 50_000);
    program.flood(5 * MIB);
    clock.advance(29_000);
    const back = attach({ readerId, cursor: viewer.cursor });
    back.cursor = viewer.cursor;
    await back.readTo(program.printed);
    clock.advance(60_000);
    expect(back.gaps).toEqual([]);
  });

  it('is not waited for once it detached', async () => {
    const { program, attach, session } = fakeTerminal();
    const viewer = attach();
    await viewer.next();
    program.flood(2 * MIB);
    expect(program.isPaused).toBe(true);
    session.readers.detach({ readerId: viewer.readerId, actor: BOB });
    expect(program.isPaused).toBe(true);
    session.readers.detach({ readerId: viewer.readerId, actor: ALICE });
    expect(program.isPaused).toBe(false);
    expect(await viewer.next()).toBeUndefined();
  });

  it('is cut when its connection took nothing for 30 s, and then its lease begins', async () => {
    let cuts = 0;
    const { program, attach, clock } = fakeTerminal();
    const viewer = attach({ disconnect: () => (cuts += 1) });
    program.flood(2 * MIB);
    await viewer.readTo(1000);
    clock.advance(29_999);
    expect([cuts, viewer.stream.isClosed]).toEqual([0, false]);
    clock.advance(1);
    expect([cuts, viewer.stream.isClosed]).toEqual([1, true]);
    expect(program.isPaused).toBe(true);
    clock.advance(30_000);
    expect(program.isPaused).toBe(false);
    await expect(viewer.next()).rejects.toMatchObject({ reason: 'SLOW_READER' });
  });

  it('is not cut while it merely has nothing to read', async () => {
    const { attach, clock } = fakeTerminal();
    const viewer = attach();
    await viewer.next();
    for (let second = 0; second < 100; second += 5) {
      const event = viewer.next();
      await clock.advanceAsync(5000, 5000);
      expect(await event).toEqual({ type: 'keepAlive' });
    }
  });
});

describe('an acknowledging reader', () => {
  it('gets 768 KiB beyond what it acknowledged, then waits', async () => {
    const { program, attach, session } = fakeTerminal();
    const viewer = attach({ acknowledges: true });
    program.flood(5 * MIB);
    await viewer.readTo(WINDOW);
    const more = viewer.next();
    session.readers.acknowledge({ readerId: viewer.readerId, actor: ALICE, cursor: 1000 });
    await more;
    expect(viewer.cursor).toBe(WINDOW + 1000);
    session.readers.acknowledge({ readerId: viewer.readerId, actor: ALICE, cursor: 500 });
    session.readers.acknowledge({ readerId: viewer.readerId, actor: ALICE, cursor: 2000 });
    await viewer.next();
    expect(viewer.cursor).toBe(WINDOW + 2000);
  });

  it('loses nothing that was sent and not acknowledged when its connection breaks', async () => {
    const { program, attach } = fakeTerminal();
    const viewer = attach({ acknowledges: true });
    program.flood(5 * MIB);
    await readAndLeave(viewer, WINDOW);
    program.flood(5 * MIB);
    const back = attach({ readerId: viewer.readerId, cursor: 0, acknowledges: true });
    await back.readTo(WINDOW);
    expect(back.gaps).toEqual([]);
  });

  it('is told SLOW_READER when it acknowledges nothing for 30 s, keep-alives notwithstanding', async () => {
    const { program, attach, clock } = fakeTerminal();
    const viewer = attach({ acknowledges: true });
    program.flood(5 * MIB);
    await viewer.readTo(WINDOW);
    const end = (async () => {
      for (let event = await viewer.next(); event; event = await viewer.next());
    })();
    end.catch(() => {});
    await clock.advanceAsync(31_000, 1000);
    await expect(end).rejects.toMatchObject({ reason: 'SLOW_READER' });
  });

  it('is not stopped by a gap that is larger than its window', async () => {
    const { program, attach } = fakeTerminal();
    program.flood(5 * MIB);
    const viewer = attach({ acknowledges: true });
    await viewer.readTo(5 * MIB - MIB + WINDOW);
    expect(viewer.gaps).toHaveLength(1);
  });

  it('gets no more at a gap, whatever was skipped, until it acknowledges', async () => {
    const { program, attach, session } = fakeTerminal();
    const [fast, stalled] = [attach(), attach({ acknowledges: true })];
    program.flood(100_000);
    await stalled.readTo(program.printed);
    while (program.printed < 3 * MIB) {
      program.flood(SLACK);
      await fast.readTo(program.printed);
    }
    const before = stalled.cursor;
    // The gap, and what is left of the window behind it.
    const skipped = program.printed - MIB - before;
    await stalled.readTo(skipped + WINDOW);
    const more = stalled.next();
    while (program.printed < 6 * MIB) {
      program.flood(SLACK);
      await fast.readTo(program.printed);
    }
    expect(stalled.gaps).toHaveLength(1);
    expect(stalled.cursor).toBe(skipped + WINDOW);
    const { readerId } = stalled;
    session.readers.acknowledge({ readerId, actor: ALICE, cursor: stalled.cursor });
    await more;
    expect(stalled.gaps).toMatchObject([
      { from: before },
      { from: skipped + WINDOW, to: program.printed - MIB, reason: 'SLOW_READER' },
    ]);
    await stalled.readTo(program.printed - MIB + WINDOW);
  });

  it('goes on behind a gap when it acknowledged the last byte before it', async () => {
    const { program, attach, session } = fakeTerminal();
    const [fast, slow] = [attach(), attach({ acknowledges: true })];
    await slow.next();
    while (program.printed < 3 * MIB) {
      program.flood(SLACK);
      if (slow.cursor < WINDOW) await slow.readTo(Math.min(program.printed, WINDOW));
      await fast.readTo(program.printed);
    }
    const { readerId } = slow;
    session.readers.acknowledge({ readerId, actor: ALICE, cursor: WINDOW });
    await slow.readTo(program.printed - MIB + WINDOW);
    expect(slow.gaps).toHaveLength(1);
    session.readers.acknowledge({ readerId, actor: ALICE, cursor: slow.cursor });
    await slow.readTo(program.printed);
    expect(slow.gaps).toHaveLength(1);
  });

  it('may neither acknowledge for another principal nor beyond the end', async () => {
    const { attach, session } = fakeTerminal();
    const viewer = attach({ acknowledges: true });
    await viewer.next();
    const { readerId } = viewer;
    expect(() => session.readers.acknowledge({ readerId, actor: BOB, cursor: 0 })).toThrow(
      expect.objectContaining({ reason: 'NOT_FOUND' }),
    );
    expect(() => session.readers.acknowledge({ readerId, actor: ALICE, cursor: 1 })).toThrow(
      expect.objectContaining({ reason: 'CURSOR_OUT_OF_RANGE' }),
    );
  });
});

describe('several readers', () => {
  it('go at the pace of the fastest; the stalled one gets a gap and goes on exactly there', async () => {
    const { program, attach } = fakeTerminal();
    const [fast, stalled] = [attach(), attach()];
    await stalled.next();
    while (program.printed < 5 * MIB) {
      program.flood(SLACK);
      await fast.readTo(program.printed);
    }
    await stalled.readTo(program.printed);
    expect(fast.gaps).toEqual([]);
    expect(stalled.gaps).toMatchObject([{ from: 0, to: 4 * MIB, reason: 'SLOW_READER' }]);
  });

  it.each([1, 10, 50])('hold the same log when %i of them stall', async (count) => {
    const { program, attach, session } = fakeTerminal();
    const stalled = Array.from({ length: count }, () => attach());
    for (const viewer of stalled) await viewer.next();
    program.flood(20 * MIB);
    expect(program.printed).toBeLessThanOrEqual(MIB + SLACK);
    const fast = attach();
    while (program.printed < 4 * MIB) {
      await fast.readTo(program.printed);
      program.flood(SLACK);
    }
    expect(session.state.cursor).toBe(program.printed);
    for (const viewer of stalled) {
      await viewer.readTo(program.printed);
      expect(viewer.gaps).toHaveLength(1);
    }
  });

  it('share a lease: a fast reader that was cut still holds the program back', async () => {
    const { program, attach, clock } = fakeTerminal();
    const [fast, stalled] = [attach(), attach()];
    await stalled.next();
    program.flood(100_000);
    await fast.readTo(program.printed);
    await Promise.race([fast.next(), clock.advanceAsync(5000, 5000)]);
    fast.stream.close();
    program.flood(5 * MIB);
    expect(program.isPaused).toBe(true);
    clock.advance(20_000);
    expect(program.isPaused).toBe(true);
  });
});
