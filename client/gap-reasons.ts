import { GapReason as WireGapReason } from '../gen/computesdk/v1/stream_pb.ts';
import type { GapReason } from './connection/resumable-stream.ts';

const GAP_REASONS: Readonly<Partial<Record<number, GapReason>>> = {
  [WireGapReason.EVICTED]: 'evicted',
  [WireGapReason.SLOW_READER]: 'slow_reader',
  [WireGapReason.LEASE_EXPIRED]: 'lease_expired',
  [WireGapReason.INCARNATION]: 'incarnation',
  [WireGapReason.OVERFLOW]: 'overflow',
};

/** Why a part of a stream is missing, as the SDK spells it. */
export function toGapReason(reason: number): GapReason {
  return GAP_REASONS[reason] ?? 'unknown';
}
