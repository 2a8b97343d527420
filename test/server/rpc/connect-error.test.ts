import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { ErrorDetailSchema, ErrorReason } from '../../../gen/computesdk/v1/error_pb.ts';
import { RetryInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import { DomainError, invalidArgument } from '../../../server/core/domain-error.ts';
import { toConnectError } from '../../../server/rpc/connect-error.ts';

const detailOf = (error: unknown) => {
  const [detail] = toConnectError(error).details;
  return detail && 'desc' in detail && detail.desc === ErrorDetailSchema ? detail.value : undefined;
};

describe('toConnectError', () => {
  it('keeps the message, the field and the wait of a domain error', () => {
    const error = invalidArgument('cols', 'must be 1 to 4,096');
    expect(toConnectError(error)).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: 'cols: must be 1 to 4,096',
    });
    expect(detailOf(error)).toMatchObject({ reason: ErrorReason.INVALID_ARGUMENT, field: 'cols' });
    const full = new DomainError('LIMIT_REACHED', 'full', { retryAfterMs: 1_500 });
    expect(detailOf(full)).toMatchObject({ retryAfter: { seconds: 1n, nanos: 500_000_000 } });
  });

  it('says when to try again in the standard ways, where waiting helps', () => {
    const limited = new DomainError('RATE_LIMITED', 'wait', { retryAfterMs: 1_500 });
    const shown = toConnectError(limited);
    expect(shown.code).toBe(Code.ResourceExhausted);
    expect(detailOf(limited)).toMatchObject({ reason: ErrorReason.RATE_LIMITED });
    expect(shown.findDetails(RetryInfoSchema)).toMatchObject([
      { retryDelay: { seconds: 1n, nanos: 500_000_000 } },
    ]);
    expect(shown.metadata.get('retry-after')).toBe('2');
    const other = toConnectError(new DomainError('NOT_FOUND', 'x'));
    expect([other.details.length, other.metadata.get('retry-after')]).toEqual([1, null]);
  });

  it('says nothing of an unexpected error, which may hold secrets', () => {
    for (const error of [new Error('password=hunter2'), 'hunter2', undefined]) {
      const shown = toConnectError(error);
      expect(shown.code).toBe(Code.Internal);
      expect(JSON.stringify([shown.message, shown.cause, detailOf(error)])).not.toContain(
        'hunter2',
      );
    }
  });

  it('leaves a ConnectError as it is', () => {
    const error = new ConnectError('x', Code.Aborted);
    expect(toConnectError(error)).toBe(error);
  });
});
