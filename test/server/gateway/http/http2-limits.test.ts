import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createListener, type Listener } from '../../../../server/gateway/http/listener.ts';
import {
  END_HEADERS,
  END_STREAM,
  FRAME,
  frame,
  GET_ROOT,
  PREFACE,
} from '../../../support/http2-frames.ts';

const CANCEL = Buffer.from([0, 0, 0, 8]);
const BEGIN = [PREFACE, frame({ type: FRAME.settings })];

let listener: Listener;
let socket: Socket;
/** How many calls the handler got. */
let looked: number;

beforeEach(async () => {
  looked = 0;
  listener = await createListener({
    hosts: ['127.0.0.1'],
    port: 0,
    handler: (_request, response) => {
      looked += 1;
      response.end('the answer');
    },
  });
  socket = connect(listener.port, '127.0.0.1');
});

afterEach(async () => {
  socket.destroy();
  await listener.close();
});

it('does not look at calls that were cancelled before', async () => {
  const cancelled = Array.from({ length: 100 }, (_, index) => {
    const stream = 2 * index + 1;
    return [getRoot(stream), frame({ type: FRAME.reset, stream, payload: CANCEL })];
  });
  const answered = new Promise<void>((resolve) => {
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('latin1');
      if (text.includes('the answer')) resolve();
    });
  });
  // All in one packet, whose end is a call that goes on.
  socket.write(Buffer.concat([...BEGIN, ...cancelled.flat(), getRoot(201)]));
  await answered;
  expect(looked).toBe(1);
});

it('lives on when a connection ends by an error before its calls were looked at', async () => {
  // Node.js takes a thousand frames that it does not understand.
  const invalid = Array.from({ length: 1_100 }, () => frame({ type: FRAME.data, stream: 1 }));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.resume().write(Buffer.concat([...BEGIN, getRoot(1), ...invalid]));
  await closed;
  expect(looked).toBe(0);
  expect((await fetch(`http://127.0.0.1:${listener.port}/`)).status).toBe(200);
});

function getRoot(stream: number): Buffer {
  const flags = END_HEADERS | END_STREAM;
  return frame({ type: FRAME.headers, flags, stream, payload: GET_ROOT });
}
