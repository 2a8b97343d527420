import { create, equals, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeFrame, encodeFrame, messagePrefix } from '../../frames/frame.ts';
import { type Frame, FrameSchema } from '../../gen/computesdk/v1/frame_pb.ts';
import { seed } from '../support/scale.ts';

const RUNS = { numRuns: 3_000, seed };
const streams = fc.oneof(
  fc.nat(300),
  fc.integer({ min: 2 ** 28 - 2, max: 2 ** 28 + 2 }),
  fc.integer({ min: 2 ** 31 - 2, max: 2 ** 32 - 1 }),
);
const messages = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.nat(40_000).map((length) => new Uint8Array(length).fill(7)),
);

/** What the library makes of bytes. Undefined: it throws. */
function byLibrary(bytes: Uint8Array): Frame | undefined {
  try {
    return fromBinary(FrameSchema, bytes, { readUnknownFields: false });
  } catch {
    return undefined;
  }
}

function byUs(bytes: Uint8Array): Frame | undefined {
  try {
    return decodeFrame(bytes);
  } catch {
    return undefined;
  }
}

function expectSame(bytes: Uint8Array): void {
  const expected = byLibrary(bytes);
  const frame = byUs(bytes);
  expect(frame === undefined).toBe(expected === undefined);
  if (!frame || !expected) return;
  const isSame = equals(FrameSchema, create(FrameSchema, frame), expected);
  expect(isSame, Buffer.from(bytes).toString('hex')).toBe(true);
}

describe('a frame with a message', () => {
  it('is written as the library writes it', () => {
    fc.assert(
      fc.property(streams, messages, (stream, value) => {
        const body = { case: 'message', value } as const;
        // The library leaves a stream out that is 0; nobody sends messages on it.
        fc.pre(stream > 0);
        const expected = toBinary(FrameSchema, create(FrameSchema, { stream, body }));
        expect(Buffer.from(encodeFrame(stream, body)).equals(expected)).toBe(true);
        const parts = [messagePrefix(stream, value.length), value];
        expect(Buffer.concat(parts).equals(expected)).toBe(true);
      }),
      RUNS,
    );
  });

  it('is read as the library reads it', () => {
    fc.assert(
      fc.property(streams, messages, (stream, value) => {
        expectSame(encodeFrame(stream, { case: 'message', value }));
      }),
      RUNS,
    );
  });

  it('is read as the library reads it when it was mutated, cut, or has more behind it', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 12 });
    const positions = fc.tuple(fc.nat(12), fc.nat(12));
    fc.assert(
      fc.property(streams, fc.uint8Array({ maxLength: 9 }), bytes, positions, (...drawn) => {
        const [stream, value, other, [at, cut]] = drawn;
        const frame = Buffer.from(encodeFrame(stream, { case: 'message', value }));
        expectSame(Buffer.concat([frame, other]));
        expectSame(frame.subarray(0, cut));
        frame.set(other.subarray(0, Math.max(0, frame.length - at)), Math.min(at, frame.length));
        expectSame(frame);
      }),
      RUNS,
    );
  });

  it('is read without a copy of its message', () => {
    const bytes = encodeFrame(3, { case: 'message', value: new Uint8Array(5) });
    const { body } = decodeFrame(bytes);
    expect(body.case === 'message' && body.value.buffer).toBe(bytes.buffer);
  });
});
