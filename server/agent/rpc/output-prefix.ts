import { WireType } from '@bufbuild/protobuf/wire';
import { pushVarint, tag } from '../../../frames/varint.ts';
import { TerminalOutputSchema } from '../../../gen/computesdk/v1/terminal_pb.ts';
import { AttachTerminalResponseSchema } from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import type { TerminalEvent } from '../terminal/events.ts';

const OUTPUT_TAG = tag(AttachTerminalResponseSchema.field.output.number, WireType.LengthDelimited);
const CURSOR_TAG = tag(TerminalOutputSchema.field.cursor.number, WireType.Varint);
const DATA_TAG = tag(TerminalOutputSchema.field.data.number, WireType.LengthDelimited);

/** All of an output message that comes before the bytes of the output. */
export function outputPrefix(event: Extract<TerminalEvent, { type: 'output' }>): Uint8Array {
  const { cursor, data } = event;
  const fields: number[] = [];
  if (cursor > 0) {
    fields.push(CURSOR_TAG);
    pushVarint(fields, cursor);
  }
  fields.push(DATA_TAG);
  pushVarint(fields, data.length);
  const prefix = [OUTPUT_TAG];
  pushVarint(prefix, fields.length + data.length);
  for (const byte of fields) prefix.push(byte);
  return new Uint8Array(prefix);
}
