import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { create, toBinary } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import { afterEach, expect, it } from 'vitest';
import { decodeFrame, encodeFrame, type FrameBody } from '../../../../frames/frame.ts';
import type { Frame } from '../../../../gen/computesdk/v1/frame_pb.ts';
import { acceptFrameLinks } from '../../../../server/agent/rpc/frame-link.ts';
import { silentLogger } from '../../../../server/core/log.ts';
import { FRAME_LINK_PATH, FRAME_LINK_PROTOCOL } from '../../../../server/rpc/frame-link.ts';
import { FrameSplitter, withLength } from '../../../../server/rpc/frame-splitter.ts';
import { EveryKind } from '../../../support/frame-pair.ts';
import { until } from '../../../support/until.ts';
import { type FakeAgent, listenOnSocket } from '../../gateway/proxy/fixture.ts';

let agent: FakeAgent | undefined;
/** Callers of streams that have not ended, in the order of their beginning. */
let open: string[] = [];

afterEach(async () => {
  await agent?.close();
  open = [];
});

async function start(): Promise<void> {
  const server = createServer();
  server.on(
    'upgrade',
    acceptFrameLinks({
      routes: (router) =>
        router.service(EveryKind, {
          one: ({ value }, context) => ({
            value: `${context.requestHeader.get('x-who')} ${value}`,
          }),
          async *down({ value }, { signal, requestHeader }) {
            const who = requestHeader.get('x-who') ?? '';
            open.push(who);
            try {
              yield { value };
              await new Promise((_resolve, reject) => {
                signal.addEventListener('abort', () => reject(signal.reason), { once: true });
              });
            } finally {
              open.splice(open.indexOf(who), 1);
            }
          },
        }),
      ...{
        calls: { begin: () => () => {} },
        shutdownSignal: new AbortController().signal,
        logger: silentLogger,
      },
    }),
  );
  agent = await listenOnSocket(server);
}

/** The gateway's side of a link. */
class Link {
  readonly frames: Frame[] = [];
  readonly socket: Duplex;

  private constructor(socket: Duplex) {
    this.socket = socket;
    const splitter = new FrameSplitter(2 * 1024 * 1024);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      for (const bytes of splitter.push(chunk)) this.frames.push(decodeFrame(bytes));
    });
  }

  static async open(who: string): Promise<Link> {
    const call = request({
      ...{ socketPath: agent?.socketPath, path: FRAME_LINK_PATH, agent: false },
      headers: { host: 'sandbox', connection: 'Upgrade', upgrade: FRAME_LINK_PROTOCOL },
    });
    call.end();
    const [, socket] = await once(call, 'upgrade');
    const link = new Link(socket);
    link.send(0, { case: 'head', value: { headers: [{ name: 'x-who', value: who }] } });
    return link;
  }

  send(stream: number, body: FrameBody): void {
    const bytes = encodeFrame(stream, body);
    this.socket.write(withLength([bytes], bytes.length));
  }

  call(stream: number, method: string, value: string): void {
    const message = toBinary(StringValueSchema, create(StringValueSchema, { value }));
    this.send(stream, {
      case: 'open',
      value: { method: `/test.v1.EveryKind/${method}`, message, finished: true },
    });
  }

  async frame(stream: number, kind: Frame['body']['case']): Promise<Frame> {
    const find = () => this.frames.find((it) => it.stream === stream && it.body.case === kind);
    return await until(find, { what: `${kind} of ${stream}` });
  }
}

it('serves calls as whoever the gateway named last', async () => {
  await start();
  const link = await Link.open('alice');
  link.call(1, 'One', 'a');
  link.send(0, { case: 'head', value: { headers: [{ name: 'x-who', value: 'bob' }] } });
  link.call(2, 'One', 'b');
  const answers = [await link.frame(1, 'end'), await link.frame(2, 'end')];
  const texts = answers.map(({ body }) => body.case === 'end' && String(body.value.message));
  expect(texts).toEqual([expect.stringContaining('alice a'), expect.stringContaining('bob b')]);
  link.socket.destroy();
});

it('ends the calls of a gateway that is gone, and of no other', async () => {
  await start();
  const [alice, bob] = [await Link.open('alice'), await Link.open('bob')];
  alice.call(1, 'Down', 'x');
  bob.call(1, 'Down', 'x');
  await alice.frame(1, 'message');
  await bob.frame(1, 'message');
  expect(open.toSorted()).toEqual(['alice', 'bob']);
  // It only ends its side, as a process does that is killed.
  alice.socket.end();
  await until(() => open.length === 1, { what: 'the end of the call' });
  expect(open).toEqual(['bob']);
  bob.socket.destroy();
  await until(() => open.length === 0, { what: 'the end of the other call' });
});

it.each([
  ['a frame that only agents send', (link: Link) => link.send(0, { case: 'welcome', value: {} })],
  ['bytes that are no frame', (link: Link) => link.socket.write(Buffer.from('00000001ff', 'hex'))],
  ['a frame that is too large', (link: Link) => link.socket.write(Buffer.from('7fffffff', 'hex'))],
])('ends a link that sends %s', async (_what, send) => {
  await start();
  const link = await Link.open('alice');
  link.call(1, 'Down', 'x');
  await link.frame(1, 'message');
  send(link);
  await until(() => open.length === 0 && link.socket.destroyed, { what: 'the end of the link' });
});
