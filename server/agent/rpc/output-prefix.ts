import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { TerminalOutputSchema } from '../../../gen/computesdk/v1/terminal_pb.ts';
import { AttachTerminalResponseSchema } from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import type { TerminalEvent } from '../terminal/events.ts';

const { output } = AttachTerminalResponseSchema.field;
const { cursor, data } = TerminalOutputSchema.field;

/** All of an output message that comes before the bytes of the output. */
export function outputPrefix(event: Extract<TerminalEvent, { type: 'output' }>): Uint8Array {
  const inner = new BinaryWriter();
  if (event.cursor > 0) inner.tag(cursor.number, WireType.Varint).uint64(BigInt(event.cursor));
  inner.tag(data.number, WireType.LengthDelimited).uint32(event.data.length);
  const fields = inner.finish();
  return new BinaryWriter()
    .tag(output.number, WireType.LengthDelimited)
    .uint32(fields.length + event.data.length)
    .raw(fields)
    .finish();
}
