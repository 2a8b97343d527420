import { WireType } from '@bufbuild/protobuf/wire';
import { BatchSchema, FrameSchema } from '../gen/computesdk/v1/frame_pb.ts';
import { pushVarint, tag } from './varint.ts';

const BATCH_TAG = tag(FrameSchema.field.batch.number, WireType.LengthDelimited);
const FRAME_TAG = tag(BatchSchema.field.frames.number, WireType.LengthDelimited);

/** Writes a frame of the connection that holds others, in their order. Each key's echo and its answer are one. */
export function encodeBatch(frames: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const parts = frames.flatMap((frame) => [prefix(FRAME_TAG, frame.length), frame]);
  const length = lengthOf(parts);
  parts.unshift(prefix(BATCH_TAG, length));
  const batch = new Uint8Array(lengthOf(parts));
  let at = 0;
  for (const part of parts) {
    batch.set(part, at);
    at += part.length;
  }
  return batch;
}

function prefix(fieldTag: number, length: number): Uint8Array {
  const bytes = [fieldTag];
  pushVarint(bytes, length);
  return new Uint8Array(bytes);
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}
