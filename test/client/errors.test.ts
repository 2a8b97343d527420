import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import {
  isNetworkFailure,
  isTransient,
  SandboxError,
  type SandboxErrorOptions,
  toSandboxError,
} from '../../client/errors.ts';
import { ErrorDetailSchema, ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { refusal } from './support/fake-terminal.ts';

/** An error as a client sees it: parsed from the wire. */
function fromWire(error: ConnectError): ConnectError {
  error.isWireError = true;
  return error;
}

describe('the error table', () => {
  it('has a code for every reason', () => {
    for (const [name, reason] of Object.entries(ErrorReason)) {
      if (reason === ErrorReason.UNSPECIFIED) continue;
      const { code } = toSandboxError(fromWire(refusal(Code.Unknown, reason)));
      expect(code, name).toBe(name.toLowerCase());
    }
  });

  it('falls back to the status where no reason came', () => {
    const codes = [Code.NotFound, Code.Unauthenticated, Code.Unavailable, Code.AlreadyExists];
    expect(codes.map((code) => toSandboxError(fromWire(new ConnectError('x', code))).code)).toEqual(
      ['not_found', 'unauthenticated', 'unavailable', 'already_exists'],
    );
  });

  it('carries field, delay and message, with the names of the SDK', () => {
    const error = fromWire(new ConnectError('timeout: must be less', Code.InvalidArgument));
    const detail = { field: 'timeout', retryAfter: durationFromMs(250) };
    error.details.push({ desc: ErrorDetailSchema, value: create(ErrorDetailSchema, detail) });
    expect(toSandboxError(error)).toMatchObject({
      code: 'invalid_argument',
      field: 'timeoutMs',
      message: 'timeoutMs: must be less',
      retryAfterMs: 250,
    } satisfies SandboxErrorOptions & { code: string; message: string });
  });

  it.each([
    ['fetch', new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })],
    ['an envelope cut short', new ConnectError('premature end of stream', Code.DataLoss)],
    ['a captive portal', new ConnectError('unsupported content type text/html', Code.Unknown)],
    ['a proxy', new ConnectError('HTTP 502', Code.Unavailable)],
    ['a text', 'missing EndStreamResponse'],
  ])('takes %s for the network, which is worth a retry', (_name, thrown) => {
    const error = toSandboxError(thrown);
    expect(error.code).toBe('unreachable');
    expect([isNetworkFailure(error), isTransient(error)]).toEqual([true, true]);
  });

  it('does not retry an address that serves something else', () => {
    const error = toSandboxError(new ConnectError('HTTP 404', Code.Unimplemented));
    expect([error.code, isTransient(error)]).toEqual(['unimplemented', false]);
  });

  it('names the cause that fetch hides', () => {
    const cause = new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED ::1:4') });
    expect(toSandboxError(cause).message).toContain('ECONNREFUSED ::1:4');
  });

  it('knows a caller that gave up', () => {
    const reason = AbortSignal.abort().reason;
    expect(toSandboxError(reason).code).toBe('canceled');
    expect(toSandboxError(ConnectError.from(reason)).code).toBe('canceled');
  });

  it('narrows in a switch', () => {
    const error = new SandboxError('queue_full', 'full');
    switch (error.code) {
      case 'queue_full':
        expect(error).toBeInstanceOf(Error);
        break;
      // @ts-expect-error -- no such code
      case 'no_such_code':
        break;
      default:
        expect.unreachable();
    }
  });
});
