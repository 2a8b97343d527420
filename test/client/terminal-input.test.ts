import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient, createRouterTransport } from '@connectrpc/connect';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Connection } from '../../client/connection/connection.ts';
import { terminalInput } from '../../client/terminal-input.ts';
import { TerminalSchema } from '../../gen/computesdk/v1/terminal_pb.ts';
import { TerminalService } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { FakeClock, settle } from './support/fake-clock.ts';

let clock: FakeClock;
/** What the server got, in order: how it came, and its number. */
let got: string[];
/** What the server does with an input on a stream. */
let onInput: (sequence: bigint) => Promise<void>;
let isDuplex: boolean;
let lost: AbortController;
let replaced: AbortController;
let writerEnded: AbortController;
let input: ReturnType<typeof terminalInput>;

beforeEach(() => {
  clock = new FakeClock();
  got = [];
  onInput = async () => {};
  isDuplex = true;
  [lost, replaced, writerEnded] = [
    new AbortController(),
    new AbortController(),
    new AbortController(),
  ];
  const client = createClient(
    TerminalService,
    createRouterTransport(({ service }) => {
      service(TerminalService, {
        writeTerminal: ({ sequence, terminalId, writerId }) => {
          got.push(`call ${terminalId} ${writerId} ${sequence}`);
          return {};
        },
        async *streamTerminalInput(requests) {
          for await (const { terminalId, writerId, sequence, data } of requests) {
            got.push(`stream ${terminalId} ${writerId} ${sequence} ${Buffer.from(data)}`);
            await onInput(sequence);
            yield { sequence };
          }
          got.push('finished');
        },
      });
    }),
  );
  // As much of a connection as is used.
  const connection = {
    ...{ clock, state: { state: 'connected' }, closed: new AbortController().signal },
    get lost() {
      return lost.signal;
    },
    access: {
      get replaced() {
        return replaced.signal;
      },
    },
    call: <T>(operation: (signal: AbortSignal) => Promise<T>) =>
      operation(new AbortController().signal),
  } as unknown as Connection;
  input = terminalInput(
    { client, connection, isDuplex: () => isDuplex, attached: new Set() },
    create(TerminalSchema, { id: 'trm1' }),
  );
});

function send(sequence: number, writerId = 'wrt1'): Promise<void> {
  const data = Buffer.from(String(sequence));
  return input.send({ writerId, sequence, data }, writerEnded.signal);
}

const never = () => new Promise<void>(() => {});

describe('input', () => {
  it('goes as messages of one stream, which names the terminal and the writer once', async () => {
    await Promise.all([send(1), send(2)]);
    await send(3);
    expect(got).toEqual(['stream trm1 wrt1 1 1', 'stream   2 2', 'stream   3 3']);
  });

  it('goes in calls where no call streams both ways', async () => {
    isDuplex = false;
    await send(1);
    expect(got).toEqual(['call trm1 wrt1 1']);
  });

  it('ends its stream when nothing was typed for 10 s, and begins another', async () => {
    await send(1);
    await clock.advance(9_000);
    await send(2);
    await clock.advance(9_999);
    expect(got).not.toContain('finished');
    await clock.advance(1);
    await send(3);
    expect(got).toEqual([
      ...['stream trm1 wrt1 1 1', 'stream   2 2', 'finished'],
      'stream trm1 wrt1 3 3',
    ]);
  });

  it.each(['lost', 'replaced'] as const)(
    'is repeated in calls when the way is %s; what follows goes on a stream of the new one',
    async (what) => {
      onInput = never;
      const writes = [send(1), send(2)];
      await settle();
      const ends = what === 'lost' ? lost : replaced;
      if (what === 'lost') lost = new AbortController();
      else replaced = new AbortController();
      ends.abort();
      onInput = async () => {};
      await Promise.all(writes);
      await send(3);
      expect(got).toEqual([
        ...['stream trm1 wrt1 1 1', 'call trm1 wrt1 1', 'call trm1 wrt1 2'],
        'stream trm1 wrt1 3 3',
      ]);
    },
  );

  it('goes in calls for 5 s when a stream is refused, which tells why', async () => {
    onInput = async () => {
      throw new ConnectError('full', Code.ResourceExhausted);
    };
    await send(1);
    await send(2);
    await clock.advance(5_000);
    onInput = async () => {};
    await send(3);
    expect(got).toEqual([
      ...['stream trm1 wrt1 1 1', 'call trm1 wrt1 1', 'call trm1 wrt1 2'],
      'stream trm1 wrt1 3 3',
    ]);
  });

  it('of another writer never goes on the stream of the one before', async () => {
    await send(1);
    const before = writerEnded;
    writerEnded = new AbortController();
    before.abort();
    await send(1, 'wrt2');
    expect(got).toContain('stream trm1 wrt2 1 1');
  });
});
