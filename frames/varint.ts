import type { WireType } from '@bufbuild/protobuf/wire';

/** What precedes a field in a message. Of fields up to 15, it is one byte. */
export function tag(field: number, type: WireType): number {
  return (field << 3) | type;
}

/** Adds a number to the bytes of a message: an integer from 0 to 2^53 - 1. */
export function pushVarint(bytes: number[], value: number): void {
  let rest = value;
  // Shifts have 32 bits only.
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
}
