import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EnvelopeGate } from '../../../../server/gateway/proxy/envelope-gate.ts';
import type { Protocol } from '../../../../server/rpc/call-form.ts';

const MAX = 1_000;

describe('EnvelopeGate', () => {
  it('passes every byte of a stream on, and only at boundaries, however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: MAX }), { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 40 }),
        (sizes, cuts) => {
          const envelopes = sizes.map((size, index) => envelope(0, Buffer.alloc(size, index)));
          const boundaries = new Set(sumsOf(envelopes.map(({ length }) => length)));
          const gate = newGate('connect-stream');
          const stream = Buffer.concat(envelopes);
          const passed: Buffer[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn += 1) {
            const size = cuts[turn % cuts.length] ?? 1;
            passed.push(...gate.push(stream.subarray(at, at + size)));
            at += size;
            expect(boundaries.has(Buffer.concat(passed).length)).toBe(true);
          }
          expect(gate.isAtBoundary).toBe(true);
          expect(Buffer.concat(passed).equals(stream)).toBe(true);
        },
      ),
    );
  });

  it('holds an incomplete envelope', () => {
    const gate = newGate('grpc');
    expect(gate.push(envelope(0, Buffer.alloc(10)).subarray(0, 14))).toEqual([]);
    expect(gate.isAtBoundary).toBe(false);
  });

  it.each([
    ['connect-stream', 2],
    ['grpc-web', 128],
  ] as const)('knows the last envelope of %s', (protocol, flags) => {
    const gate = newGate(protocol);
    gate.push(envelope(0, Buffer.alloc(1)));
    expect(gate.hasEnded).toBe(false);
    gate.push(envelope(flags, Buffer.from('{}')));
    expect(gate.hasEnded).toBe(true);
    expect(() => gate.push(envelope(0, Buffer.alloc(0)))).toThrow('goes on after its end');
  });

  it.each([
    ['a message above the limit', envelope(0, Buffer.alloc(MAX + 1))],
    ['a length of 2^32-1', Buffer.from([0, 255, 255, 255, 255])],
    ['a compressed message', envelope(1, Buffer.alloc(3))],
    ['unknown flags', envelope(64, Buffer.alloc(3))],
    [
      'bytes after the end, in one chunk',
      Buffer.concat([envelope(2, Buffer.alloc(2)), envelope(0, Buffer.alloc(0))]),
    ],
  ])('refuses %s, whole and byte by byte', (_what, bytes) => {
    expect(() => newGate('connect-stream').push(bytes)).toThrow('the stream is broken');
    const gate = newGate('connect-stream');
    expect(() => {
      for (const byte of bytes) gate.push(Buffer.from([byte]));
    }).toThrow('the stream is broken');
  });

  it('has no last envelope in gRPC', () => {
    expect(() => newGate('grpc').push(envelope(2, Buffer.alloc(2)))).toThrow('unknown flags');
    expect(() => newGate('grpc').push(envelope(128, Buffer.alloc(2)))).toThrow('unknown flags');
  });
});

function newGate(protocol: Protocol): EnvelopeGate {
  return new EnvelopeGate({ protocol, maxMessageBytes: MAX });
}

function envelope(flags: number, data: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(flags, 0);
  header.writeUInt32BE(data.length, 1);
  return Buffer.concat([header, data]);
}

function sumsOf(lengths: readonly number[]): number[] {
  const sums = [0];
  for (const length of lengths) sums.push((sums.at(-1) ?? 0) + length);
  return sums;
}
