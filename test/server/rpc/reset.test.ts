import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { createListener, type Listener } from '../../../server/gateway/http/listener.ts';
import type { HttpResponse } from '../../../server/rpc/connect-node.ts';
import { reset, resetConnection } from '../../../server/rpc/reset.ts';

const directory = new URL('../gateway/http/certificate/', import.meta.url);
const certificate = readFileSync(new URL('certificate.pem', directory));
const key = readFileSync(new URL('key.pem', directory));

/** Serves answers that never end, and gives the first one that its client does not take any more of. */
async function floodUntilStalled(options: object = {}): Promise<{
  readonly listener: Listener;
  readonly stalled: Promise<HttpResponse>;
}> {
  let onStalled: (response: HttpResponse) => void = () => {};
  const stalled = new Promise<HttpResponse>((resolve) => {
    onStalled = resolve;
  });
  const listener = await createListener({
    ...{ hosts: ['127.0.0.1'], port: 0, ...options },
    handler: (_request, response) => {
      // The answer of HTTP/2 has the same methods.
      const answer = response as ServerResponse;
      let isWaiting = false;
      const timer = setInterval(() => {
        if (isWaiting && answer.writableNeedDrain) onStalled(response);
        while (!answer.writableNeedDrain) answer.write(Buffer.alloc(65_536));
        isWaiting = true;
      }, 50);
      answer.on('drain', () => {
        isWaiting = false;
      });
      response.once('close', () => clearInterval(timer));
    },
  });
  onTestFinished(() => listener.close());
  return { listener, stalled };
}

/** Reads on, and gives what the end of the connection was. */
function readOn(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    socket.on('close', () => resolve('closed'));
    socket.resume();
  });
}

it('a client that does not read sees a reset, not what was sent before', async () => {
  const { listener, stalled } = await floodUntilStalled();
  const socket = connect(listener.port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
  reset(await stalled);
  expect(await readOn(socket)).toBe('ECONNRESET');
});

it('with TLS too', async () => {
  const { listener, stalled } = await floodUntilStalled({ tls: { certificate, key } });
  const socket = connectTls({ host: '127.0.0.1', port: listener.port, ca: certificate });
  socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
  reset(await stalled);
  expect(await readOn(socket)).toBe('ECONNRESET');
});

it.each(['http', 'https'])('a connection of HTTP/2 over %s can be reset', async (scheme) => {
  const options = scheme === 'https' ? { tls: { certificate, key } } : {};
  const { listener, stalled } = await floodUntilStalled(options);
  const session = connectHttp2(`${scheme}://127.0.0.1:${listener.port}`, { ca: certificate });
  const ended = new Promise((resolve) => session.on('error', resolve));
  session.request({ ':path': '/' }).on('error', () => {});
  const response = await stalled;
  if (!('stream' in response) || !response.stream.session) throw new Error('not HTTP/2');
  resetConnection(response.stream.session.socket);
  expect(await ended).toMatchObject({ code: 'ECONNRESET' });
});
