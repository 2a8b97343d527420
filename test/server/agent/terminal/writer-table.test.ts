import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TERMINAL_LIMITS, type TerminalLimits } from '../../../../server/agent/terminal/limits.ts';
import { WriterTable } from '../../../../server/agent/terminal/writer-table.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { ALICE, actor, BOB } from '../support/actors.ts';

type Waiting = { data: Uint8Array; resolve: () => void; reject: (error: Error) => void };

/** A program that reads when it is told to. */
class SlowTarget {
  readonly waiting: Waiting[] = [];
  typed = '';
  onRoom = () => {};

  get pendingInputBytes(): number {
    return this.waiting.reduce((sum, { data }) => sum + data.length, 0);
  }

  write(data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => this.waiting.push({ data, resolve, reject }));
  }

  readAll(): void {
    while (this.waiting.length > 0) {
      for (const { data, resolve } of this.waiting.splice(0)) {
        this.typed += Buffer.from(data).toString();
        resolve();
      }
      this.onRoom();
    }
  }
}

function setUp(limits: Partial<TerminalLimits> = {}) {
  const clock = new FakeClock();
  const target = new SlowTarget();
  const writers = new WriterTable({ clock, target, limits: { ...TERMINAL_LIMITS, ...limits } });
  target.onRoom = () => writers.onRoom();
  const write = (writerId: string, sequence: number, text: string) =>
    writers.write({ writerId, actor: ALICE, sequence, data: Buffer.from(text) });
  return { clock, target, writers, write };
}

const reason = (name: string) => expect.objectContaining({ reason: name });

describe('numbered input', () => {
  it('is applied exactly once and in order, however calls are repeated, reordered and mixed', async () => {
    const arrival = fc.record({ writer: fc.nat(2), sequence: fc.integer({ min: 1, max: 40 }) });
    const run = async (arrivals: { writer: number; sequence: number }[]) => {
      const { target, writers, write } = setUp();
      const ids = [0, 1, 2].map(() => writers.open(ALICE));
      const all = [...arrivals, ...ids.flatMap((_, writer) => firstForty(writer))];
      const answers = all.map(({ writer, sequence }, index) => {
        const answer = write(ids[writer] ?? '', sequence, `${writer}:${sequence},`);
        if (index % 3 === 0) target.readAll();
        return answer;
      });
      target.readAll();
      const results = await Promise.all(answers);
      const typed = target.typed.split(',').slice(0, -1);
      for (const writer of [0, 1, 2]) {
        const own = typed.filter((text) => text.startsWith(`${writer}:`));
        expect(own).toEqual(firstForty(writer).map(({ sequence }) => `${writer}:${sequence}`));
      }
      expect(results.filter(({ duplicate }) => !duplicate)).toHaveLength(120);
    };
    await fc.assert(fc.asyncProperty(fc.array(arrival, { maxLength: 200 }), run), { numRuns: 50 });
  });

  it('is answered only when the program took it, a duplicate too', async () => {
    const { target, writers, write } = setUp();
    const id = writers.open(ALICE);
    const answers: string[] = [];
    const first = write(id, 1, 'a').then(({ duplicate }) => answers.push(`first ${duplicate}`));
    const second = write(id, 1, 'a').then(({ duplicate }) => answers.push(`second ${duplicate}`));
    await new Promise((resolve) => setImmediate(resolve));
    expect(answers).toEqual([]);
    target.readAll();
    await Promise.all([first, second]);
    expect(answers.sort()).toEqual(['first false', 'second true']);
    expect(await write(id, 1, 'a')).toEqual({ duplicate: true });
    expect(target.typed).toBe('a');
  });

  it('is refused more than 256 ahead, by name and bound', async () => {
    const { writers, write } = setUp();
    const id = writers.open(ALICE);
    void write(id, 256, 'b');
    await expect(write(id, 257, 'c')).rejects.toThrow('sequence: is more than 256 beyond');
    await expect(write(id, Number.MAX_SAFE_INTEGER, 'c')).rejects.toEqual(
      reason('INVALID_ARGUMENT'),
    );
  });

  it('is refused without being counted when too much waits, and taken when it is repeated', async () => {
    const { target, writers, write } = setUp({ pendingInputBytes: 10 });
    const id = writers.open(ALICE);
    const first = write(id, 1, '0123456789');
    await expect(write(id, 2, 'x')).rejects.toMatchObject({
      reason: 'LIMIT_REACHED',
      retryAfterMs: 50,
    });
    target.readAll();
    const again = write(id, 2, 'x');
    target.readAll();
    expect([await first, await again]).toEqual([{ duplicate: false }, { duplicate: false }]);
    expect(target.typed).toBe('0123456789x');
  });

  it('that waits for its turn cannot keep out the input that it waits for', async () => {
    const { target, writers, write } = setUp({ pendingInputBytes: 10 });
    const id = writers.open(ALICE);
    const later = [write(id, 2, '2222'), write(id, 3, '3333')];
    await expect(write(id, 4, '4444')).rejects.toEqual(reason('LIMIT_REACHED'));
    const first = write(id, 1, '11111111');
    expect(target.waiting).toHaveLength(1);
    target.readAll();
    await Promise.all([first, ...later]);
    expect(target.typed).toBe('1111111122223333');
  });

  it('of a writer that is unknown or of another principal expires', async () => {
    const { writers, write } = setUp();
    const id = writers.open(BOB);
    await expect(write(id, 1, 'a')).rejects.toEqual(reason('WRITER_EXPIRED'));
    await expect(write('wrt-unknown', 1, 'a')).rejects.toEqual(reason('WRITER_EXPIRED'));
    expect(writers.open(BOB, id)).toBe(id);
    expect(writers.open(ALICE, id)).not.toBe(id);
  });

  it('goes on under the same writer when a token takes the place of another', async () => {
    const { target, writers, write } = setUp();
    const id = writers.open(ALICE);
    const first = write(id, 1, 'a');
    target.readAll();
    await first;
    const successor = actor('first', 'alice', 'tok2');
    const input = { writerId: id, actor: successor, sequence: 2, data: Buffer.from('b') };
    const second = writers.write(input);
    target.readAll();
    expect(await second).toEqual({ duplicate: false });
    expect(writers.open(successor, id)).toBe(id);
    expect(target.typed).toBe('ab');
    // What the successor makes belongs to its foremost subject alone.
    const made = writers.open(successor);
    expect(writers.open(actor('first'), made)).toBe(made);
    expect(writers.open(actor('tok2'), made)).not.toBe(made);
  });

  it('fails with EXITED at the exit, except what had been applied', async () => {
    const { target, writers, write } = setUp();
    const id = writers.open(ALICE);
    const applied = write(id, 1, 'a');
    target.readAll();
    await applied;
    const handedOver = write(id, 2, 'b');
    const held = write(id, 4, 'd');
    writers.close();
    target.waiting[0]?.reject(new Error('exited'));
    await expect(handedOver).rejects.toThrow('exited');
    await expect(held).rejects.toEqual(reason('EXITED'));
    expect(await write(id, 1, 'a')).toEqual({ duplicate: true });
    await expect(write(id, 2, 'b')).rejects.toEqual(reason('EXITED'));
    await expect(write(id, 3, 'c')).rejects.toEqual(reason('EXITED'));
    await expect(writers.writeUnnumbered(Buffer.from('e'))).rejects.toEqual(reason('EXITED'));
  });

  it('of more than 64 KiB in one call is refused by name and bound', async () => {
    const { writers, write } = setUp();
    const id = writers.open(ALICE);
    await expect(write(id, 1, 'x'.repeat(65_537))).rejects.toThrow('data: must be at most 65536');
  });
});

describe('a writer', () => {
  it('is remembered for 10 minutes after it was last seen, and while a stream carries its id', async () => {
    const { clock, writers, write } = setUp({ writers: 2 });
    const [idle, connected] = [writers.open(ALICE), writers.open(ALICE)];
    const disconnect = writers.connect(connected);
    clock.advance(599_999);
    expect(() => writers.open(ALICE)).toThrow(reason('LIMIT_REACHED'));
    clock.advance(1);
    const third = writers.open(ALICE);
    await expect(write(idle, 1, 'a')).rejects.toEqual(reason('WRITER_EXPIRED'));
    expect(writers.open(ALICE, connected)).toBe(connected);
    disconnect();
    void write(third, 1, 'a');
    clock.advance(600_000);
    expect(writers.open(ALICE)).toBeTruthy();
  });
});

function firstForty(writer: number): { writer: number; sequence: number }[] {
  return Array.from({ length: 40 }, (_, index) => ({ writer, sequence: index + 1 }));
}
