import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteLog, type LogPosition, MAX_LOG_MARKS } from '../../../server/core/byte-log.ts';

const KIB = 1024;

/** The byte that every test writes at an offset. */
const byteAt = (offset: number) => (offset * 31 + (offset >> 8)) & 255;

function bytes(from: number, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => byteAt(from + index));
}

function readAll<M>(log: ByteLog<M>, position: LogPosition, maxBytes: number) {
  const items = [];
  for (let item = log.read(position, maxBytes); item; item = log.read(position, maxBytes)) {
    items.push(item);
  }
  return items;
}

describe('ByteLog', () => {
  it('gives every reader the bytes and marks from its position on, whatever was appended', () => {
    const step = fc.oneof(
      fc.record({ append: fc.integer({ min: 0, max: 300 * KIB }) }),
      fc.record({ mark: fc.integer({ min: 1, max: 4096 }) }),
      fc.record({ keepFrom: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ trim: fc.integer({ min: 0, max: 64 * KIB }) }),
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 30 }),
        fc.integer({ min: 1, max: 65_504 }),
        (steps, maxBytes) => {
          const log = new ByteLog<number>(256 * KIB);
          for (const action of steps) {
            const { start, end } = log;
            if ('append' in action) log.append(bytes(end, action.append));
            else if ('mark' in action) log.mark(action.mark);
            else if ('trim' in action) log.trim(action.trim);
            else log.append(bytes(end, 100 * KIB), Math.floor(action.keepFrom * end));
            expect(log.start).toBeGreaterThanOrEqual(start);
          }
          const position = log.positionAt(log.start);
          let cursor = log.start;
          for (const item of readAll(log, position, maxBytes)) {
            // Not `expect`, which takes seconds for a log that is read byte by byte.
            assert.equal(item.cursor, cursor);
            if (item.type !== 'bytes') continue;
            assert(item.data.length <= maxBytes);
            assert.equal(Buffer.compare(item.data, bytes(cursor, item.data.length)), 0);
            cursor += item.data.length;
          }
          expect(cursor).toBe(log.end);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('evicts to its capacity, but nothing from the held position on', () => {
    const log = new ByteLog<never>(100);
    log.append(bytes(0, 90), 20);
    log.append(bytes(90, 90), 20);
    expect([log.start, log.end]).toEqual([20, 180]);
    log.evict(150);
    expect(log.start).toBe(80);
    log.evict(0);
    expect(log.start).toBe(80);
  });

  it('leaves what was read as it was when its bytes are evicted', () => {
    const log = new ByteLog<never>(256 * KIB);
    log.append(bytes(0, 1000));
    const item = log.read(log.positionAt(0), 1000);
    for (let round = 0; round < 20; round += 1) log.append(bytes(log.end, 128 * KIB));
    expect(log.start).toBeGreaterThan(1000);
    expect(item?.type === 'bytes' && Buffer.compare(item.data, bytes(0, 1000))).toBe(0);
  });

  it('replaces a mark at the same offset, also for a reader that has read it', () => {
    const log = new ByteLog<string>(100);
    const position = log.positionAt(0);
    log.mark('a');
    expect(readAll(log, position, 10)).toEqual([{ type: 'mark', cursor: 0, value: 'a' }]);
    log.mark('b');
    expect(readAll(log, position, 10)).toEqual([{ type: 'mark', cursor: 0, value: 'b' }]);
    expect(readAll(log, log.positionAt(0), 10)).toHaveLength(1);
  });

  it('begins a reader with the mark that is in force where it starts, evicted or not', () => {
    const log = new ByteLog<string>(100);
    log.mark('first');
    log.append(bytes(0, 50));
    log.mark('second');
    log.append(bytes(50, 120));
    expect(log.start).toBe(70);
    expect(readAll(log, log.positionAt(70), 1000)).toMatchObject([
      { type: 'mark', cursor: 70, value: 'second' },
      { type: 'bytes', cursor: 70 },
    ]);
  });

  it('holds a bounded number of marks', () => {
    const log = new ByteLog<number>(KIB * KIB);
    for (let index = 0; index < MAX_LOG_MARKS * 3; index += 1) {
      log.append(bytes(index, 1));
      log.mark(index);
    }
    const marks = readAll(log, { cursor: 0, mark: 0 }, 10).filter((item) => item.type === 'mark');
    expect(marks).toHaveLength(MAX_LOG_MARKS);
    expect(marks.at(-1)).toMatchObject({ value: MAX_LOG_MARKS * 3 - 1 });
  });

  it('holds megabytes of lone bytes in little more than its capacity', () => {
    const before = process.memoryUsage().arrayBuffers;
    const log = new ByteLog<never>(KIB * KIB);
    const byte = bytes(0, 1);
    for (let index = 0; index < 3 * KIB * KIB; index += 1) log.append(byte);
    expect(log.end - log.start).toBe(KIB * KIB);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThanOrEqual((1024 + 384) * KIB);
  });

  it('gives memory back when it is trimmed', () => {
    const log = new ByteLog<never>(KIB * KIB);
    log.append(bytes(0, KIB * KIB));
    const before = process.memoryUsage().arrayBuffers;
    log.trim(100);
    globalThis.gc?.();
    if (globalThis.gc) expect(process.memoryUsage().arrayBuffers).toBeLessThan(before - 900 * KIB);
    log.append(bytes(log.end, 10));
    expect([log.end - log.start, log.end]).toEqual([110, KIB * KIB + 10]);
  });
});
