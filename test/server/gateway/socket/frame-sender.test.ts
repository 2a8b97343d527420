import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { beforeEach, expect, it } from 'vitest';
import { decodeFrame, encodeFrame } from '../../../../frames/frame.ts';
import { FrameSender } from '../../../../server/gateway/socket/frame-sender.ts';
import type { WebSocket } from '../../../../server/gateway/socket/web-socket.ts';

const KIB = 1024;

let messages: Uint8Array[];
let behind: number;
let socket: { cork: () => void; uncork: () => void; writableNeedDrain: boolean };
let webSocket: { OPEN: number; readyState: number; send: (message: Uint8Array) => void };

beforeEach(() => {
  messages = [];
  behind = 0;
  socket = Object.assign(new EventEmitter(), {
    ...{ cork: () => {}, uncork: () => {}, writableNeedDrain: false },
  });
  webSocket = { OPEN: 1, readyState: 1, send: (message) => messages.push(message) };
});

function newSender({ acceptsBatches = true } = {}): FrameSender {
  return new FrameSender({
    // As much of both as is used.
    webSocket: webSocket as unknown as WebSocket,
    socket: socket as unknown as Socket,
    acceptsBatches,
    onBehind: () => {
      behind += 1;
    },
  });
}

const frameOf = (stream: number, bytes = 1) =>
  encodeFrame(stream, { case: 'message', value: new Uint8Array(bytes) });

/** The streams of the frames in each message that was sent. */
function sent(): number[][] {
  return messages.map((message) => {
    const frame = decodeFrame(message);
    if (frame.body.case !== 'batch') return [frame.stream];
    return frame.body.value.frames.map((each) => decodeFrame(each).stream);
  });
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

it('sends small frames of one turn in one message, at its end', async () => {
  const sender = newSender();
  for (const stream of [1, 2, 3]) sender.send(frameOf(stream));
  expect(sent()).toEqual([]);
  await nextTurn();
  expect(sent()).toEqual([[1, 2, 3]]);
  sender.send(frameOf(4));
  await nextTurn();
  expect(sent()).toEqual([[1, 2, 3], [4]]);
});

it('sends large frames alone, and all in order', async () => {
  const sender = newSender();
  sender.send(frameOf(1));
  sender.send(frameOf(2));
  sender.send(frameOf(3, 2 * KIB));
  expect(sent()).toEqual([[1, 2], [3]]);
  sender.send(frameOf(4));
  await nextTurn();
  expect(sent()).toEqual([[1, 2], [3], [4]]);
});

it('sends no batch much above 16 KiB', async () => {
  const sender = newSender();
  for (let stream = 1; stream <= 50; stream += 1) sender.send(frameOf(stream, 1_000));
  await nextTurn();
  expect(sent().map(({ length }) => length)).toEqual([17, 17, 16]);
  expect(sent().flat()).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
});

it('sends every frame at once, alone, to a client that accepts no batches', () => {
  const sender = newSender({ acceptsBatches: false });
  for (const stream of [1, 2, 3]) sender.send(frameOf(stream));
  expect(sent()).toEqual([[1], [2], [3]]);
});

it('sends what waits when it is told to', async () => {
  const sender = newSender();
  sender.send(frameOf(1));
  sender.flush();
  expect(sent()).toEqual([[1]]);
  await nextTurn();
  expect(sent()).toEqual([[1]]);
});

it('says that the client takes less than it is sent, also of what waited', async () => {
  const sender = newSender();
  socket.writableNeedDrain = true;
  sender.send(frameOf(1));
  expect(behind).toBe(0);
  await nextTurn();
  expect(behind).toBe(1);
});

it('sends nothing on a connection that is closing', async () => {
  const sender = newSender();
  sender.send(frameOf(1));
  webSocket.readyState = 2;
  sender.send(frameOf(2, 2 * KIB));
  await nextTurn();
  expect(sent()).toEqual([]);
});
