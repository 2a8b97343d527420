import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type Frame, FrameSchema } from '../gen/computesdk/v1/frame_pb.ts';

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

const { stream: streamField, message: messageField } = FrameSchema.field;

/** Reads a frame. Its bytes fields are views. Throws at what is none. */
export function decodeFrame(bytes: Uint8Array): Frame {
  return fromBinary(FrameSchema, bytes, { readUnknownFields: false });
}

/** Writes a frame. */
export function encodeFrame(stream: number, body: FrameBody): Uint8Array<ArrayBuffer> {
  return toBinary(FrameSchema, create(FrameSchema, { stream, body }));
}

/** All of a frame with a message of `length` bytes that comes before the message. */
export function messagePrefix(stream: number, length: number): Uint8Array<ArrayBuffer> {
  return new BinaryWriter()
    .tag(streamField.number, WireType.Varint)
    .uint32(stream)
    .tag(messageField.number, WireType.LengthDelimited)
    .uint32(length)
    .finish();
}
