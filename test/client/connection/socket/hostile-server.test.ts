import { Code, ConnectError } from '@connectrpc/connect';
import { expect, it } from 'vitest';
import { decodeFrame, encodeFrame } from '../../../../frames/frame.ts';
import { STREAM_WINDOW_BYTES } from '../../../../frames/outflow.ts';
import { FramePair } from '../../../support/frame-pair.ts';
import { heldBytes } from '../../../support/heap.ts';
import { mutatedFrame } from '../../../support/mutated-frames.ts';
import { report } from '../../../support/report.ts';
import { scaled, seed, seededRandom } from '../../../support/scale.ts';

const FRAMES = scaled(100_000);
const CALLS = 3;
const MAX_GROWTH_BYTES = 8 * 1024 * 1024;

it('mutated frames end a connection with a typed error, or change nothing', async () => {
  const random = seededRandom(seed);
  const before = await heldBytes();
  const ends = new Map<string, number>();
  let connections = 0;
  for (let sent = 0; sent < FRAMES; ) {
    connections += 1;
    const pair = await opened();
    const calls = Array.from({ length: CALLS }, () =>
      pair.socket.open('Bearer test', { method: '/a.B/C' }),
    );
    const outcomes = calls.map(({ answer }) => answer.then(String, ConnectError.from));
    for (; sent < FRAMES && !pair.ended; sent += 1) {
      pair.answer(mutatedFrame(random, CALLS));
      if (random.chance(0.1)) await turn();
    }
    await turn();
    if (pair.ended) {
      const { error } = pair.ended;
      expect(error).toBeInstanceOf(ConnectError);
      const name = error.isWireError ? Code[error.code] : 'network';
      ends.set(name ?? 'none', (ends.get(name ?? 'none') ?? 0) + 1);
    }
    pair.socket.close();
    await Promise.all(outcomes);
  }
  const growth = (await heldBytes()) - before;
  const figures = {
    connections,
    broken: ends.get('DataLoss') ?? 0,
    growthMB: growth / 1024 / 1024,
  };
  report({ test: 'mutated frames to a client', count: FRAMES, figures });
  expect(ends.get('DataLoss')).toBeGreaterThan(10);
  expect(growth).toBeLessThan(MAX_GROWTH_BYTES);
});

it('more than a call may be sent ends the connection', async () => {
  const pair = await opened();
  const call = pair.socket.open('Bearer test', { method: '/a.B/C' });
  const outcome = call.answer.catch(ConnectError.from);
  pair.answer(Buffer.from('08014a00', 'hex'));
  const message = Buffer.concat([Buffer.from('08015280a004', 'hex'), Buffer.alloc(69_632)]);
  expect(decodeFrame(message).body.value).toHaveLength(69_632);
  for (let bytes = 0; bytes <= STREAM_WINDOW_BYTES; bytes += 69_632) pair.answer(message);
  await turn();
  expect(pair.ended).toBeUndefined();
  pair.answer(message);
  await turn();
  expect(pair.ended?.error).toMatchObject({ code: Code.DataLoss, isWireError: true });
  expect(await outcome).toMatchObject({ code: Code.DataLoss });
});

it('the end of a credential is no news about one that came after it', async () => {
  const pair = await opened();
  const before = pair.socket.open('Bearer test', { method: '/a.B/C' });
  const after = pair.socket.open('Bearer renewed', { method: '/a.B/C' });
  const outcomes = [before, after].map(({ answer }) => answer.catch(ConnectError.from));
  const error = { code: Code.Unauthenticated, message: 'the session token has expired' };
  pair.answer(encodeFrame(0, { case: 'ended', value: { error } }));
  expect(await Promise.all(outcomes)).toMatchObject([
    { code: Code.Unauthenticated, isWireError: true },
    // As if the network had failed: it is made again.
    { code: Code.Unavailable, isWireError: false },
  ]);
});

it('the frames of a batch are taken one after another', async () => {
  const pair = await opened();
  const call = pair.socket.open('Bearer test', { method: '/a.B/C' });
  const texts = ['one', 'two', 'three'].map((text) =>
    encodeFrame(1, { case: 'message', value: Buffer.from(text) }),
  );
  const head = encodeFrame(1, { case: 'head', value: {} });
  pair.answer(batchOf([head, ...texts, encodeFrame(1, { case: 'end', value: {} })]));
  const came: string[] = [];
  for await (const message of call.messages) came.push(Buffer.from(message).toString());
  expect(came).toEqual(['one', 'two', 'three']);
  await call.answer;
  pair.socket.close();
});

it.each([
  ['in a batch', batchOf([batchOf([encodeFrame(1, { case: 'head', value: {} })])])],
  ['of a call', encodeFrame(1, { case: 'batch', value: { frames: [] } })],
  ['of what is no frame', batchOf([Buffer.alloc(20, 255)])],
])('a batch %s ends the connection', async (_what, bytes) => {
  const pair = await opened();
  const call = pair.socket.open('Bearer test', { method: '/a.B/C' });
  const outcome = call.answer.catch(ConnectError.from);
  pair.answer(bytes);
  expect(await outcome).toMatchObject({ code: Code.DataLoss, isWireError: true });
});

it('nothing is taken of a batch behind the end of the connection', async () => {
  const pair = await opened();
  const call = pair.socket.open('Bearer test', { method: '/a.B/C' });
  const outcome = call.answer.catch(ConnectError.from);
  const error = { code: Code.Unauthenticated, message: 'revoked' };
  const ended = encodeFrame(0, { case: 'ended', value: { error } });
  pair.answer(batchOf([ended, encodeFrame(1, { case: 'end', value: {} })]));
  expect(await outcome).toMatchObject({ code: Code.Unauthenticated });
});

it('a header that is none ends the connection, and every call on it', async () => {
  const pair = await opened();
  const call = pair.socket.open('Bearer test', { method: '/a.B/C' });
  const trailers = [{ name: 'no header', value: 'x' }];
  const outcome = call.answer.catch(ConnectError.from);
  pair.answer(encodeFrame(1, { case: 'end', value: { trailers } }));
  expect(await outcome).toMatchObject({ code: Code.DataLoss });
});

function batchOf(frames: Uint8Array[]): Uint8Array {
  return encodeFrame(0, { case: 'batch', value: { frames } });
}

async function opened(): Promise<FramePair> {
  const pair = new FramePair({ routes: (router) => router, isDeaf: true });
  await turn();
  return pair;
}

/** What was sent has arrived. */
async function turn(): Promise<void> {
  for (let count = 0; count < 3; count += 1) await new Promise((resolve) => setImmediate(resolve));
}
