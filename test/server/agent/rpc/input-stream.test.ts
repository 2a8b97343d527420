import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  type StreamTerminalInputRequest,
  StreamTerminalInputRequestSchema,
} from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { InputAnswers } from '../../../../server/agent/rpc/input-stream.ts';
import { deferred } from '../../../../server/core/deferred.ts';
import { settle } from '../../../client/support/fake-clock.ts';

type Applied = { readonly duplicate: boolean };

/** A stream of inputs whose outcomes a test decides. */
function stage(count: number, extra: { readonly fails?: Error; readonly stays?: boolean } = {}) {
  const outcomes = new Map<bigint, ReturnType<typeof deferred<Applied>>>();
  const applied: bigint[] = [];
  const abort = new AbortController();
  async function* requests() {
    for (let index = 1; index <= count; index++) {
      yield create(StreamTerminalInputRequestSchema, { sequence: BigInt(index) });
    }
    if (extra.fails) throw extra.fails;
    if (extra.stays) await new Promise(() => {});
  }
  const apply = ({ sequence }: StreamTerminalInputRequest) => {
    applied.push(sequence);
    const outcome = deferred<Applied>();
    outcomes.set(sequence, outcome);
    return outcome.promise;
  };
  const answers: string[] = [];
  const run = async () => {
    for await (const { sequence, duplicate } of new InputAnswers(requests(), apply, abort.signal)) {
      answers.push(`${sequence}${duplicate ? ' again' : ''}`);
    }
  };
  return {
    ...{ abort, applied, answers, ended: run() },
    settle: (sequence: number, duplicate = false) =>
      outcomes.get(BigInt(sequence))?.resolve({ duplicate }),
    refuse: (sequence: number, error: Error) => outcomes.get(BigInt(sequence))?.reject(error),
  };
}

describe('a stream of inputs', () => {
  it('hands all that came over at once, and answers in their order', async () => {
    const { applied, answers, settle: applies, ended } = stage(3);
    await settle();
    expect(applied).toEqual([1n, 2n, 3n]);
    applies(3);
    applies(2, true);
    await settle();
    expect(answers).toEqual([]);
    applies(1);
    await ended;
    expect(answers).toEqual(['1', '2 again', '3']);
  });

  it('ends with what an input is refused with, after the answers before it', async () => {
    const { answers, settle: applies, refuse, ended } = stage(3, { stays: true });
    await settle();
    refuse(2, new Error('full'));
    await settle();
    applies(1);
    await expect(ended).rejects.toThrow('full');
    expect(answers).toEqual(['1']);
  });

  it('ends with what the stream failed with, after all answers', async () => {
    const { answers, settle: applies, ended } = stage(1, { fails: new Error('cut') });
    await settle();
    applies(1);
    await expect(ended).rejects.toThrow('cut');
    expect(answers).toEqual(['1']);
  });

  it('reads no further while 256 inputs wait', async () => {
    const { applied, answers, settle: applies, abort, ended } = stage(1_000, { stays: true });
    await settle();
    expect(applied).toHaveLength(256);
    applies(1);
    await settle();
    expect([applied.length, answers]).toEqual([257, ['1']]);
    abort.abort(new Error('left'));
    await expect(ended).rejects.toThrow('left');
  });

  it('ends when the call does, although an input waits for ever', async () => {
    const { abort, ended } = stage(1, { stays: true });
    await settle();
    abort.abort(new Error('left'));
    await expect(ended).rejects.toThrow('left');
  });
});
