import {
  GapReasonSchema,
  type GapReason as WireGapReason,
} from '../gen/computesdk/v1/stream_pb.ts';
import type { GapReason } from './connection/resumable-stream.ts';

/** Why a part of a stream is missing, as the SDK spells it: by its name, in lower case. */
export function toGapReason(reason: WireGapReason): GapReason {
  const name = GapReasonSchema.value[reason]?.localName.toLowerCase() ?? 'unspecified';
  return name === 'unspecified' ? 'unknown' : (name as GapReason);
}
