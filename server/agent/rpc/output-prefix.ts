import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { TerminalOutputSchema } from '../../../gen/computesdk/v1/terminal_pb.ts';
import { AttachTerminalResponseSchema } from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import type { TerminalEvent } from '../terminal/events.ts';

/** One byte of flags and four of length before each message of a stream. */
const ENVELOPE_HEAD_BYTES = 5;
const { output } = AttachTerminalResponseSchema.field;
const { cursor, data } = TerminalOutputSchema.field;

/** All of the envelope of an output message that comes before the bytes of the output. */
export function outputPrefix(event: Extract<TerminalEvent, { type: 'output' }>): Uint8Array {
  const inner = new BinaryWriter();
  if (event.cursor > 0) inner.tag(cursor.number, WireType.Varint).uint64(BigInt(event.cursor));
  inner.tag(data.number, WireType.LengthDelimited).uint32(event.data.length);
  const fields = inner.finish();
  const outer = new BinaryWriter().tag(output.number, WireType.LengthDelimited);
  const message = outer
    .uint32(fields.length + event.data.length)
    .raw(fields)
    .finish();
  const prefix = Buffer.alloc(ENVELOPE_HEAD_BYTES + message.length);
  prefix.writeUInt32BE(message.length + event.data.length, 1);
  prefix.set(message, ENVELOPE_HEAD_BYTES);
  return prefix;
}
