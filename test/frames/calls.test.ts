import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient, type ServiceImpl } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { STREAM_WINDOW_BYTES } from '../../frames/outflow.ts';
import { ErrorDetailSchema, ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { DomainError } from '../../server/core/domain-error.ts';
import { EveryKind, FramePair, type FramePairOptions } from '../support/frame-pair.ts';
import { until } from '../support/until.ts';

type Implementation = Partial<ServiceImpl<typeof EveryKind>>;

function pairOf(implementation: Implementation, options: Partial<FramePairOptions> = {}) {
  const pair = new FramePair({
    routes: (router) => router.service(EveryKind, implementation),
    ...options,
  });
  return { pair, client: createClient(EveryKind, pair.transport) };
}

async function* texts(...values: readonly string[]) {
  for (const value of values) yield { value };
}

async function all(messages: AsyncIterable<{ readonly value: string }>): Promise<string[]> {
  const values: string[] = [];
  for await (const { value } of messages) values.push(value);
  return values;
}

describe('calls in frames', () => {
  it('are of every kind', async () => {
    const { client } = pairOf({
      one: ({ value }) => ({ value: value.toUpperCase() }),
      async *down({ value }) {
        for (const letter of value) yield { value: letter };
      },
      async up(messages) {
        return { value: (await all(messages)).join('') };
      },
      async *both(messages) {
        for await (const { value } of messages) yield { value: `${value}!` };
      },
    });
    expect((await client.one({ value: 'x' })).value).toBe('X');
    expect(await all(client.down({ value: 'abc' }))).toEqual(['a', 'b', 'c']);
    expect((await client.up(texts('a', 'b', 'c'))).value).toBe('abc');
    expect(await all(client.both(texts('a', 'b')))).toEqual(['a!', 'b!']);
    expect(await all(client.down({ value: '' }))).toEqual([]);
    expect((await client.one({})).value).toBe('');
  });

  it('many at a time do not mix', async () => {
    const { client, pair } = pairOf({
      one: async ({ value }) => {
        await new Promise((resolve) => setTimeout(resolve, Number(value) % 7));
        return { value };
      },
    });
    const numbers = Array.from({ length: 300 }, (_, index) => String(index));
    const answers = await Promise.all(numbers.map((value) => client.one({ value })));
    expect(answers.map(({ value }) => value)).toEqual(numbers);
    // One frame each way, and the greeting.
    expect([pair.sent.length, pair.answered.length]).toEqual([301, 301]);
    expect(pair.server.size).toBe(0);
  });

  it('bring headers and trailers, both ways', async () => {
    const { client } = pairOf({
      one: (_request, context) => {
        context.responseHeader.set('x-answer', context.requestHeader.get('x-question') ?? '');
        context.responseTrailer.set('x-end', 'bye');
        return {};
      },
      async *down(_request, context) {
        context.responseHeader.set('x-answer', context.requestHeader.get('x-question') ?? '');
        yield { value: 'a' };
        context.responseTrailer.set('x-end', 'bye');
      },
    });
    const seen: (string | null)[] = [];
    const options = {
      headers: { 'x-question': 'who' },
      onHeader: (header: Headers) => seen.push(header.get('x-answer')),
      onTrailer: (trailer: Headers) => seen.push(trailer.get('x-end')),
    };
    await client.one({}, options);
    await all(client.down({}, options));
    expect(seen).toEqual(['who', 'bye', 'who', 'bye']);
  });

  it('fail with their code, message, details and trailers', async () => {
    const { client } = pairOf({
      one: () => {
        throw new DomainError('LIMIT_REACHED', 'enough', { retryAfterMs: 2_000 });
      },
      async *down() {
        yield { value: 'a' };
        throw new ConnectError('no more', Code.Aborted, { 'x-why': 'tired' });
      },
    });
    const error = await client.one({}).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(ConnectError);
    const failure = ConnectError.from(error);
    expect([failure.code, failure.rawMessage]).toEqual([Code.ResourceExhausted, 'enough']);
    expect(failure.findDetails(ErrorDetailSchema)).toMatchObject([
      create(ErrorDetailSchema, { reason: ErrorReason.LIMIT_REACHED }),
    ]);
    expect(failure.metadata.get('retry-after')).toBe('2');
    const values: string[] = [];
    const broken = await (async () => {
      for await (const { value } of client.down({})) values.push(value);
    })().catch((cause: unknown) => ConnectError.from(cause));
    expect(values).toEqual(['a']);
    expect(broken).toMatchObject({ code: Code.Aborted, rawMessage: 'no more' });
    expect(broken?.metadata.get('x-why')).toBe('tired');
  });

  it('of unknown methods, and with messages that are none, say so', async () => {
    const { client, pair } = pairOf({});
    await expect(client.one({})).rejects.toMatchObject({ code: Code.Unimplemented });
    const call = pair.socket.open('Bearer test', { method: '/no.Such/Method', finished: true });
    await expect(call.answer).rejects.toMatchObject({ code: Code.Unimplemented });
    const invalid = pair.socket.open('Bearer test', {
      ...{ method: '/test.v1.EveryKind/One', finished: true },
      message: Uint8Array.of(0xff),
    });
    await expect(invalid.answer).rejects.toMatchObject({ code: Code.InvalidArgument });
  });

  it('that take one message fail with none, and with two', async () => {
    const { pair } = pairOf({ down: () => texts('a') });
    const open = { method: '/test.v1.EveryKind/Down' } as const;
    const none = pair.socket.open('Bearer test', { ...open, finished: true });
    await expect(none.answer).rejects.toMatchObject({ code: Code.Unimplemented });
    const two = pair.socket.open('Bearer test', { ...open, message: new Uint8Array() });
    await two.send(new Uint8Array());
    two.finish();
    await expect(two.answer).rejects.toMatchObject({ code: Code.Unimplemented });
  });
});

describe('a call in frames', () => {
  it('ends at its deadline, which the server knows', async () => {
    const left: (number | undefined)[] = [];
    const { client } = pairOf({
      one: (_request, context) => {
        left.push(context.timeoutMs());
        return new Promise((_resolve, reject) => {
          context.signal.addEventListener('abort', () => reject(context.signal.reason));
        });
      },
    });
    await expect(client.one({}, { timeoutMs: 50 })).rejects.toMatchObject({
      code: Code.DeadlineExceeded,
    });
    expect(left[0]).toBeGreaterThan(0);
    expect(left[0]).toBeLessThanOrEqual(50);
  });

  it('that is canceled before it begins does not begin', async () => {
    const { client, pair } = pairOf({ one: () => ({}), down: () => texts('a') });
    const signal = AbortSignal.abort();
    await expect(client.one({}, { signal })).rejects.toMatchObject({ code: Code.Canceled });
    await expect(all(client.down({}, { signal }))).rejects.toMatchObject({ code: Code.Canceled });
    await client.one({});
    // The greeting, and the one that was meant.
    expect(pair.sent).toHaveLength(2);
  });

  it('that waits for its reader ends at its deadline too', async () => {
    const { pair } = pairOf({
      async *down() {
        for (;;) yield { value: 'x'.repeat(16 * 1024) };
      },
    });
    const call = pair.socket.open('Bearer test', {
      ...{ method: '/test.v1.EveryKind/Down', message: new Uint8Array() },
      ...{ finished: true, timeoutMs: 50 },
    });
    await expect(call.answer).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    expect(pair.server.size).toBe(0);
  });

  it('that its caller cancels ends on the server too', async () => {
    let ended = 0;
    const { client, pair } = pairOf({
      async *down(_request, { signal }) {
        try {
          yield { value: 'a' };
          await new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason), { once: true });
          });
        } finally {
          ended += 1;
        }
      },
    });
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _message of client.down({}, { signal: stop.signal })) stop.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: Code.Canceled });
    await until(() => ended === 1 && pair.server.size === 0, { what: 'the end of the call' });
  });

  it('that its caller cancels gives nothing more, also of what came already', async () => {
    const { client, pair } = pairOf({
      async *down(_request, { signal }) {
        yield* texts('a', 'b');
        await new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        });
      },
    });
    const stop = new AbortController();
    const reading = client.down({}, { signal: stop.signal })[Symbol.asyncIterator]();
    expect(await reading.next()).toMatchObject({ value: { value: 'a' } });
    // The greeting, the headers and both messages.
    await until(() => pair.answered.length === 4, { what: 'the second message' });
    await new Promise(setImmediate);
    stop.abort();
    await expect(reading.next()).rejects.toMatchObject({ code: Code.Canceled });
  });

  it('passes the interceptors of both sides', async () => {
    const seen: string[] = [];
    const note =
      (name: string): NonNullable<FramePairOptions['clientInterceptors']>[number] =>
      (next) =>
      async (request) => {
        seen.push(`${name} ${request.method.name}`);
        return await next(request);
      };
    const { client } = pairOf(
      { one: () => ({}), down: () => texts('a'), both: (messages) => messages },
      { clientInterceptors: [note('client')], serverInterceptors: [note('server')] },
    );
    await client.one({});
    expect(await all(client.down({}))).toEqual(['a']);
    expect(await all(client.both(texts('b', 'c')))).toEqual(['b', 'c']);
    expect(seen).toEqual(
      ['One', 'Down', 'Both'].flatMap((name) => [`client ${name}`, `server ${name}`]),
    );
  });

  it('whose messages nobody takes makes its server wait, and no other call', async () => {
    const piece = 'x'.repeat(16 * 1024);
    let made = 0;
    const { client } = pairOf({
      one: ({ value }) => ({ value }),
      async *down() {
        for (; made < 1_000; made += 1) yield { value: piece };
      },
    });
    const stop = new AbortController();
    const reader = client.down({}, { signal: stop.signal })[Symbol.asyncIterator]();
    await reader.next();
    await until(() => made > 4, { what: 'the first messages' });
    let before = 0;
    // Until it stands still: every call crosses in a turn of its own.
    while (made !== before) {
      before = made;
      for (let turn = 0; turn < 20; turn += 1)
        expect((await client.one({ value: 'k' })).value).toBe('k');
    }
    expect(made * piece.length).toBeLessThanOrEqual(STREAM_WINDOW_BYTES + 3 * piece.length);
    for (let taken = 0; taken < 40; taken += 1) await reader.next();
    await until(() => made > 40, { what: 'more messages' });
    stop.abort();
    await expect(reader.next()).rejects.toMatchObject({ code: Code.Canceled });
  });

  it('sends no more than its server takes', async () => {
    const piece = 'x'.repeat(16 * 1024);
    let sent = 0;
    let release = () => {};
    const { client } = pairOf({
      async up(messages) {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        return { value: String((await all(messages)).length) };
      },
    });
    async function* pieces() {
      for (; sent < 100; sent += 1) yield { value: piece };
    }
    const answer = client.up(pieces());
    await until(() => sent > 4, { what: 'the first messages' });
    let before = -1;
    while (sent !== before) {
      before = sent;
      for (let turn = 0; turn < 50; turn += 1)
        await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent * piece.length).toBeLessThanOrEqual(STREAM_WINDOW_BYTES + 2 * piece.length);
    release();
    expect((await answer).value).toBe('100');
  });
});
