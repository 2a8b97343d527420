import { encodeFrame, type FrameBody } from '../../frames/frame.ts';
import type { SeededRandom } from './scale.ts';

/** Frames that a server sends, and some that only clients do. */
const BODIES: readonly FrameBody[] = [
  { case: 'head', value: { headers: [{ name: 'x-any', value: 'value' }] } },
  { case: 'message', value: new Uint8Array(40) },
  { case: 'message', value: new Uint8Array(0) },
  { case: 'credit', value: 70_000 },
  { case: 'end', value: { message: Uint8Array.of(1) } },
  { case: 'end', value: { trailers: [{ name: 'x-any', value: 'value' }] } },
  {
    case: 'end',
    value: {
      error: {
        ...{ code: 8, message: 'no' },
        details: [{ typeUrl: 'type.googleapis.com/a.B', value: Uint8Array.of(1, 2) }],
      },
    },
  },
  { case: 'end', value: { error: { code: 16, message: 'forged' } } },
  { case: 'open', value: { method: '/a.B/C', message: Uint8Array.of(1), finished: true } },
  { case: 'cancel', value: {} },
  { case: 'finish', value: {} },
  { case: 'pong', value: { id: 7 } },
  { case: 'ping', value: { id: 7 } },
  { case: 'hello', value: { authorization: 'x' } },
  { case: 'credential', value: { authorization: 'x' } },
  { case: 'welcome', value: {} },
  batchOf(encodeFrame(1, { case: 'message', value: new Uint8Array(40) }), credit(0), credit(2)),
  batchOf(credit(1), encodeFrame(0, batchOf(credit(1)))),
];

function batchOf(...frames: Uint8Array[]): FrameBody {
  return { case: 'batch', value: { frames } };
}

function credit(stream: number): Uint8Array {
  return encodeFrame(stream, { case: 'credit', value: 1 });
}

/** A frame that a hostile end could send: a good one at the wrong place, or a damaged one. */
export function mutatedFrame(random: SeededRandom, streams: number): Uint8Array {
  const body = BODIES[random.below(BODIES.length)];
  if (!body) throw new Error('there are no frames');
  const stream = random.chance(0.05) ? random.below(2 ** 31) : random.below(streams + 2);
  const bytes = Buffer.from(encodeFrame(stream, body));
  if (random.chance(0.3)) return bytes;
  if (random.chance(0.1)) return random.bytes(random.below(200));
  for (let change = 0; change < 1 + random.below(3); change += 1) {
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
  }
  if (random.chance(0.2)) return bytes.subarray(0, random.below(bytes.length + 1));
  if (random.chance(0.2)) return Buffer.concat([bytes, random.bytes(random.below(50))]);
  return bytes;
}
