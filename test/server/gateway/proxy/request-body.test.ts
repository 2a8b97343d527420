import { connect as connectHttp2 } from 'node:http2';
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { MAX_UNARY_CALLS_PER_SANDBOX } from '../../../../server/gateway/proxy/live-call-registry.ts';
import { LARGE_BODY_BYTES, readBody } from '../../../../server/gateway/proxy/request-body.ts';
import { type HttpRequest, MAX_MESSAGE_BYTES } from '../../../../server/rpc/connect-node.ts';
import { until } from '../../../support/until.ts';
import { withToken } from './calls.ts';
import { startGateway, startTerminalAgent } from './fixture.ts';

const CALLS_PER_CONNECTION = 200;

it('tells once that a body is large, and lets a small one be', async () => {
  for (const [length, times] of [
    [LARGE_BODY_BYTES, 0],
    [LARGE_BODY_BYTES + 1, 1],
    [MAX_MESSAGE_BYTES, 1],
  ] as const) {
    const request = incoming();
    let told = 0;
    const body = readBody(request, () => {
      told += 1;
    });
    for (let sent = 0; sent < length; sent += 10_000) {
      request.write(Buffer.alloc(Math.min(10_000, length - sent)));
    }
    request.end();
    expect([(await body).length, told]).toEqual([length, times]);
  }
});

it('refuses what is told to be one large body too many, and drops the rest of it', async () => {
  const request = incoming();
  const tooMany = new Error('too many');
  const body = readBody(request, () => {
    throw tooMany;
  });
  const ended = new Promise((resolve) => request.once('end', resolve));
  request.end(Buffer.alloc(MAX_MESSAGE_BYTES));
  await expect(body).rejects.toBe(tooMany);
  await ended;
});

it('lets calls into a sandbox pass however many others still send their requests', async () => {
  const agent = await startTerminalAgent({ listTerminals: () => ({}) });
  const gateway = await startGateway({ socketPath: agent.socketPath });
  const slow = 2 * MAX_UNARY_CALLS_PER_SANDBOX;
  const connections = Array.from({ length: Math.ceil(slow / CALLS_PER_CONNECTION) }, () =>
    connectHttp2(gateway.url),
  );
  const path = `${new URL(gateway.sandboxUrl).pathname}/computesdk.v1.TerminalService/ListTerminals`;
  const headers = { ...withToken().headers, 'content-type': 'application/json' };
  for (let count = 0; count < slow; count += 1) {
    const connection = connections[count % connections.length];
    const stream = connection?.request({ ':method': 'POST', ':path': path, ...headers });
    stream?.on('error', () => {}).write('{');
  }
  await until(() => gateway.calls.size === slow, { what: 'the slow calls' });
  const answer = await fetch(gateway.url + path, { method: 'POST', headers, body: '{}' });
  expect(answer.status).toBe(200);
  expect(gateway.calls.size).toBe(slow);
  for (const connection of connections) connection.destroy();
  await until(() => gateway.calls.size === 0, { what: 'the end of the slow calls' });
  await gateway.close();
  await agent.close();
});

/** A request whose body is what is written to it. */
function incoming(): HttpRequest & PassThrough {
  // Of a request, `readBody` uses what every stream has, and the headers.
  return Object.assign(new PassThrough(), { headers: {} }) as unknown as HttpRequest & PassThrough;
}
