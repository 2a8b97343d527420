import { afterEach, expect, it } from 'vitest';
import { encodeFrame, type FrameBody } from '../../../../frames/frame.ts';
import { fromWireError } from '../../../../frames/wire-error.ts';
import { ErrorDetailSchema, ErrorReason } from '../../../../gen/computesdk/v1/error_pb.ts';
import { withLength } from '../../../../server/rpc/frame-splitter.ts';
import { heldBytes } from '../../../support/heap.ts';
import { mutatedFrame } from '../../../support/mutated-frames.ts';
import { RawSocket } from '../../../support/raw-socket.ts';
import { report } from '../../../support/report.ts';
import { scaled, seed, seededRandom } from '../../../support/scale.ts';
import { type Gateway, startGateway, TOKEN } from '../proxy/fixture.ts';
import { type FakeLinkAgent, startLinkAgent } from './fake-link.ts';

const FRAMES = scaled(100_000);
/** Frames that an agent sends before it looks what became of its link. */
const BURST = 20;
const MAX_GROWTH_BYTES = 8 * 1024 * 1024;
const LIST = '/computesdk.v1.TerminalService/ListTerminals';
const ATTACH = '/computesdk.v1.TerminalService/AttachTerminal';
/** What a client may be told of a sandbox that sends rubbish. */
const TYPED: readonly (ErrorReason | undefined)[] = [
  ErrorReason.BAD_SANDBOX_RESPONSE,
  ErrorReason.AGENT_UNAVAILABLE,
];

let agent: FakeLinkAgent | undefined;
let gateway: Gateway | undefined;

afterEach(async () => {
  await gateway?.close();
  await agent?.close();
});

it('mutated frames of a sandbox end its link with a typed error, and cost nothing', async () => {
  const random = seededRandom(seed);
  let sent = 0;
  agent = await startLinkAgent(({ stream, body }, link) => {
    if (body.case !== 'open') return;
    if (body.value.method === LIST) {
      link.send(stream, { case: 'end', value: {} });
      return;
    }
    for (let frame = 0; frame < BURST; frame += 1) link.sendBytes(mutatedFrame(random, stream));
    sent += BURST;
    if (random.chance(0.02)) link.socket.write(Buffer.from('ffffffff', 'hex'));
    else if (random.chance(0.1)) link.socket.destroy();
    // Ends what none of the frames has.
    else link.sendBytes(Uint8Array.of(0xff));
  });
  gateway = await startGateway({ socketPath: agent.socketPath, isCached: true });
  const socket = new RawSocket(gateway.sandboxUrl, { authorization: `Bearer ${TOKEN}` });
  await socket.frame('welcome');
  const before = await heldBytes();
  const ends = new Map<string, number>();
  for (let stream = 1; sent < FRAMES; stream += 1) {
    socket.open(stream, ATTACH);
    const { error } = (await socket.frame('end', stream)).value;
    const [detail] = error ? fromWireError(error).findDetails(ErrorDetailSchema) : [];
    const end = !error ? 'ok' : TYPED.includes(detail?.reason) ? 'typed' : 'of the sandbox';
    ends.set(end, (ends.get(end) ?? 0) + 1);
    socket.frames.length = 0;
  }
  agent.seen.length = 0;
  agent.links.length = 0;
  const growth = (await heldBytes()) - before;
  const figures = { typed: ends.get('typed') ?? 0, growthMB: growth / 1024 / 1024 };
  report({ test: 'mutated frames of a sandbox', count: sent, figures });
  expect(ends.get('typed')).toBeGreaterThan(0);
  expect(growth).toBeLessThan(MAX_GROWTH_BYTES);
  const next = 2 ** 31;
  socket.open(next, LIST);
  expect((await socket.frame('end', next)).value.error).toBeUndefined();
  // The client's own connection, and nothing else.
  expect(gateway.calls.size).toBe(1);
  await socket.close();
});

it.each([
  ['a frame above 1 MiB', () => Buffer.from('00200000', 'hex')],
  ['that a caller is not authenticated', () => framed(1, endWith(16))],
  ['an error without a code', () => framed(1, endWith(0))],
  ['an error with a code that there is none of', () => framed(1, endWith(17))],
  ['an opening frame', () => framed(1, { case: 'open', value: {} })],
  ['a credential', () => framed(0, { case: 'credential', value: {} })],
  ['that the connection ends', () => framed(0, { case: 'ended', value: {} })],
])('a sandbox that sends %s is cut', async (_what, bytes) => {
  agent = await startLinkAgent((frame, link) => {
    if (frame.body.case === 'open') link.socket.write(bytes());
  });
  gateway = await startGateway({ socketPath: agent.socketPath });
  const socket = new RawSocket(gateway.sandboxUrl, { authorization: `Bearer ${TOKEN}` });
  await socket.frame('welcome');
  socket.open(1, ATTACH);
  const { error } = (await socket.frame('end', 1)).value;
  const [detail] = error ? fromWireError(error).findDetails(ErrorDetailSchema) : [];
  expect(detail?.reason).toBe(ErrorReason.BAD_SANDBOX_RESPONSE);
  await socket.close();
});

it('no header and no trailer of a sandbox reaches a client', async () => {
  const fields = [{ name: 'set-cookie', value: 'stolen=1' }];
  agent = await startLinkAgent(({ stream, body }, link) => {
    if (body.case !== 'open') return;
    link.send(stream, { case: 'head', value: { headers: fields } });
    link.send(stream, { case: 'end', value: { headers: fields, trailers: fields } });
  });
  gateway = await startGateway({ socketPath: agent.socketPath });
  const socket = new RawSocket(gateway.sandboxUrl, { authorization: `Bearer ${TOKEN}` });
  await socket.frame('welcome');
  socket.open(1, ATTACH);
  const { value: end } = await socket.frame('end', 1);
  const { value: head } = await socket.frame('head', 1);
  expect([head.headers, end.headers, end.trailers, end.error]).toEqual([[], [], [], undefined]);
  await socket.close();
});

function endWith(code: number): FrameBody {
  return { case: 'end', value: { error: { code, message: 'forged' } } };
}

function framed(stream: number, body: FrameBody): Buffer {
  const bytes = encodeFrame(stream, body);
  return withLength([bytes], bytes.length);
}
