import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { type Frame, FrameSchema } from '../gen/computesdk/v1/frame_pb.ts';
import { pushVarint, tag } from './varint.ts';

/** What a frame says, in the form that `create` takes. */
export type FrameBody = Exclude<
  NonNullable<MessageInitShape<typeof FrameSchema>['body']>,
  { readonly case: undefined }
>;

/** The subprotocol of a WebSocket that carries frames. */
export const FRAME_PROTOCOL = 'computesdk.v1';
/** Where a sandbox's WebSocket is, below the sandbox's address. */
export const SOCKET_PATH = '/socket';
/** The stream of the connection itself. */
export const CONNECTION_STREAM = 0;
/** The largest message of a call that has several, and of a request, in bytes. */
export const MAX_MESSAGE_BYTES = 256 * 1024;
/** The largest answer of a call with one message, in bytes. */
export const MAX_ANSWER_BYTES = 1024 * 1024;
/** What a frame has beside its message, at most: headers, errors and their details. */
const MAX_OVERHEAD_BYTES = 32 * 1024;
/** The largest frame to a server, in bytes. */
export const MAX_REQUEST_FRAME_BYTES: number = MAX_MESSAGE_BYTES + MAX_OVERHEAD_BYTES;
/** The largest frame to a client, in bytes. */
export const MAX_ANSWER_FRAME_BYTES: number = MAX_ANSWER_BYTES + MAX_OVERHEAD_BYTES;

/** What precedes a frame's stream, and its message. */
const STREAM_TAG = tag(FrameSchema.field.stream.number, WireType.Varint);
const MESSAGE_TAG = tag(FrameSchema.field.message.number, WireType.LengthDelimited);

/** Reads a frame. Its bytes fields are views. Throws at what is none. */
export function decodeFrame(bytes: Uint8Array): Frame {
  return readMessageFrame(bytes) ?? fromBinary(FrameSchema, bytes, { readUnknownFields: false });
}

/** Writes a frame. */
export function encodeFrame(stream: number, body: FrameBody): Uint8Array<ArrayBuffer> {
  if (body.case !== 'message') return toBinary(FrameSchema, create(FrameSchema, { stream, body }));
  const prefix = messagePrefix(stream, body.value.length);
  const frame = new Uint8Array(prefix.length + body.value.length);
  frame.set(prefix);
  frame.set(body.value, prefix.length);
  return frame;
}

/** All of a frame with a message of `length` bytes that comes before the message. */
export function messagePrefix(stream: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = [STREAM_TAG];
  pushVarint(bytes, stream);
  bytes.push(MESSAGE_TAG);
  pushVarint(bytes, length);
  return new Uint8Array(bytes);
}

/**
 * Reads a frame with a message, in the form in which everybody writes it: reading every form takes
 * several times as long, and each key and each piece of output is such a frame.
 */
function readMessageFrame(bytes: Uint8Array): Frame | undefined {
  if (bytes[0] !== STREAM_TAG) return undefined;
  const reader = new BinaryReader(bytes);
  reader.pos = 1;
  const stream = reader.uint32();
  if (bytes[reader.pos] !== MESSAGE_TAG) return undefined;
  reader.pos += 1;
  const length = reader.uint32();
  const value = bytes.subarray(reader.pos);
  if (length !== value.length) return undefined;
  return { $typeName: FrameSchema.typeName, stream, body: { case: 'message', value } };
}
