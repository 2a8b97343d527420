import { describe, expect, it } from 'vitest';
import { BufferPool } from '../../../server/core/buffer-pool.ts';
import { SharedBuffers } from '../../../server/core/shared-buffers.ts';

const inUse = { isLost: true };
const done = { isLost: false };

describe('SharedBuffers', () => {
  it('gives readers at the same position one buffer, and others another', () => {
    const buffers = new SharedBuffers(new BufferPool({ bufferBytes: 8, idle: 8 }));
    const first = buffers.borrow(0);
    expect(buffers.borrow(0)).toBe(first);
    expect(buffers.borrow(5)).not.toBe(first);
  });

  it('uses a buffer again once the last reader gave it back, not before', () => {
    const buffers = new SharedBuffers(new BufferPool({ bufferBytes: 8, idle: 8 }));
    const first = buffers.borrow(0);
    buffers.borrow(0);
    buffers.giveBack(0, done);
    expect(buffers.borrow(5)).not.toBe(first);
    buffers.giveBack(0, done);
    expect(buffers.borrow(9)).toBe(first);
  });

  it('never uses a buffer again that a broken connection may still be reading', () => {
    const buffers = new SharedBuffers(new BufferPool({ bufferBytes: 8, idle: 8 }));
    const first = buffers.borrow(0);
    buffers.borrow(0);
    buffers.giveBack(0, inUse);
    buffers.giveBack(0, done);
    expect(buffers.borrow(0)).not.toBe(first);
  });

  it('keeps no more idle buffers than it may', () => {
    const pool = new BufferPool({ bufferBytes: 8, idle: 1 });
    const [kept, dropped] = [pool.take(), pool.take()];
    pool.give(kept);
    pool.give(dropped);
    expect([pool.take(), pool.take()].filter((buffer) => buffer === dropped)).toEqual([]);
  });
});
