import { once } from 'node:events';
import { connect, createServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { readReceipt } from '../../../../server/gateway/proxy/read-receipt.ts';

async function connected() {
  const server = createServer();
  const opened = once(server, 'session');
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  const client = connect(`http://127.0.0.1:${port}`);
  const [session]: [ServerHttp2Session] = (await opened) as [ServerHttp2Session];
  return {
    session,
    client,
    [Symbol.asyncDispose]: async () => {
      client.destroy();
      session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('tells any number of those who ask at once that the client has read', async () => {
  await using pair = await connected();
  let pings = 0;
  pair.client.on('ping', () => {
    pings += 1;
  });
  const receipts = Array.from({ length: 300 }, () => readReceipt(pair.session));
  expect(new Set(await Promise.all(receipts))).toEqual(new Set([true]));
  expect(pings).toBe(2);
  expect(await readReceipt(pair.session)).toBe(true);
});

test('does not wait for a client that is gone', async () => {
  await using pair = await connected();
  const receipts = [readReceipt(pair.session), readReceipt(pair.session)];
  pair.client.destroy();
  pair.session.destroy();
  expect(await Promise.all(receipts)).toEqual([false, false]);
  expect(await readReceipt(pair.session)).toBe(false);
});
