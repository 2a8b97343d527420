import type { StreamTerminalInputRequest } from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import { deferred } from '../../core/deferred.ts';

/** Inputs that wait for their answers. Beyond, the stream is not read on. */
const MAX_UNANSWERED = 256;

/** What became of an input, or of the stream of them. */
type Outcome = { readonly duplicate: boolean } | { readonly error: unknown };

type Input = { readonly sequence: bigint; outcome?: Outcome };

/**
 * Applies the inputs of one stream as they come, and answers each in its turn, when it was applied.
 * Throws what one of them, or the stream, is refused with.
 */
export async function* applyInputs(
  requests: AsyncIterable<StreamTerminalInputRequest>,
  apply: (request: StreamTerminalInputRequest) => Promise<{ readonly duplicate: boolean }>,
  signal: AbortSignal,
) {
  const unanswered: Input[] = [];
  let news = deferred();
  let room = deferred();
  let end: Outcome | undefined;
  const read = async (): Promise<Outcome> => {
    for await (const request of requests) {
      const input: Input = { sequence: request.sequence };
      unanswered.push(input);
      void outcomeOf(apply(request)).then((outcome) => {
        input.outcome = outcome;
        news.resolve();
      });
      if (unanswered.length < MAX_UNANSWERED) continue;
      room = deferred();
      await room.promise;
    }
    return { duplicate: false };
  };
  void outcomeOf(read()).then((outcome) => {
    end = outcome;
    news.resolve();
  });
  // An input may wait for ever for one before it.
  const stop = () => news.resolve();
  signal.addEventListener('abort', stop, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      const [first] = unanswered;
      const outcome = first ? first.outcome : end;
      if (!outcome) {
        await news.promise;
        news = deferred();
        continue;
      }
      if ('error' in outcome) throw outcome.error;
      if (!first) return;
      unanswered.shift();
      room.resolve();
      yield { sequence: first.sequence, duplicate: outcome.duplicate };
    }
  } finally {
    signal.removeEventListener('abort', stop);
    room.resolve();
  }
}

async function outcomeOf(task: Promise<Outcome>): Promise<Outcome> {
  try {
    return await task;
  } catch (error) {
    return { error };
  }
}
