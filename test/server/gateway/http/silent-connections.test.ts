import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { createListener, type Listener } from '../../../../server/gateway/http/listener.ts';
import {
  MAX_SILENT_CONNECTIONS,
  MAX_SILENT_LOCAL_CONNECTIONS,
  SilentConnections,
} from '../../../../server/gateway/http/silent-connections.ts';

/** An address of this machine that is not loopback: connections to it come from it. */
const outside = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

let listener: Listener | undefined;
let sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await listener?.close();
  listener = undefined;
});

async function listen(host: string, isTrustedProxy = (_address: string) => false) {
  listener = await createListener({
    ...{ hosts: [host], port: 0, isTrustedProxy },
    handler: (_request, response) => void response.end('hello'),
  });
  const { port } = listener;
  return (bytes = '') => {
    const socket = connect(port, host, () => socket.write(bytes));
    socket.on('error', () => {}).resume();
    sockets.push(socket);
    return socket;
  };
}

const open = () => sockets.filter((socket) => !socket.destroyed).length;
const turns = () => new Promise((resolve) => setTimeout(resolve, 200));

describe.runIf(outside !== undefined)('silent connections from outside', () => {
  const host = outside ?? '';

  it('are at most 64: more are closed, and one that speaks makes room', async () => {
    const connectOnce = await listen(host);
    for (let index = 0; index < MAX_SILENT_CONNECTIONS + 10; index += 1) connectOnce();
    await expect.poll(open).toBe(MAX_SILENT_CONNECTIONS);
    await turns();
    expect(open()).toBe(MAX_SILENT_CONNECTIONS);
    sockets.find((socket) => !socket.destroyed)?.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await turns();
    connectOnce();
    await turns();
    expect(open()).toBe(MAX_SILENT_CONNECTIONS + 1);
  });

  it('that all speak at once are all served', async () => {
    const connectOnce = await listen(host);
    for (let index = 0; index < 500; index += 1) connectOnce('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await turns();
    await turns();
    expect(open()).toBe(500);
  });

  it('are more from a trusted proxy', async () => {
    const connectOnce = await listen(host, (address) => address === host);
    for (let index = 0; index < 200; index += 1) connectOnce();
    await turns();
    expect(open()).toBe(200);
  });
});

it('connections of this machine may be many more', async () => {
  const connectOnce = await listen('127.0.0.1');
  for (let index = 0; index < 200; index += 1) connectOnce();
  await turns();
  expect(open()).toBe(200);
  expect(MAX_SILENT_LOCAL_CONNECTIONS).toBeGreaterThan(200);
});

it('forgets what was closed', async () => {
  const silent = new SilentConnections(() => false);
  const server = createServer((socket) => {
    silent.add(socket);
    socket.on('error', () => {}).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  sockets = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'));
  await expect.poll(() => silent.size).toBe(20);
  for (const socket of sockets) socket.end();
  await expect.poll(() => silent.size).toBe(0);
  await new Promise((resolve) => server.close(resolve));
});
