import { existsSync, readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { request as requestHttps } from 'node:https';
import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createListener,
  type Listener,
  type ListenerOptions,
} from '../../../../server/gateway/http/listener.ts';
import { timeBound } from '../../../support/time-bound.ts';

const certificate = readFileSync(new URL('./certificate/certificate.pem', import.meta.url));
const key = readFileSync(new URL('./certificate/key.pem', import.meta.url));
const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
);

/** A state of connections in /proc/net/tcp. */
const ESTABLISHED = '01';

let listener: Listener;
let cleanUp: Array<() => void> = [];

afterEach(async () => {
  for (const clean of cleanUp) clean();
  cleanUp = [];
  await listener.close();
});

async function start(options: Partial<ListenerOptions> = {}): Promise<void> {
  listener = await createListener({
    hosts: ['127.0.0.1', '::1'],
    port: 0,
    handler: (request, response) => {
      request.resume();
      response.setHeader('version', request.httpVersion);
      if (request.url === '/wait') (response as ServerResponse).write('-');
      else response.end(`${request.method} ${request.url}`);
    },
    ...options,
  });
}

describe('the cleartext listener', () => {
  it.runIf(hasIpv6)(
    'serves HTTP/1.1 and HTTP/2 at one port of both loopback addresses',
    async () => {
      await start();
      for (const host of ['127.0.0.1', '[::1]']) {
        const answer = await fetch(`http://${host}:${listener.port}/x`);
        expect([await answer.text(), answer.headers.get('version')]).toEqual(['GET /x', '1.1']);
        expect(await getHttp2(openHttp2(`http://${host}:${listener.port}`), '/y')).toEqual([
          '2.0',
          'GET /y',
        ]);
      }
    },
  );

  it('serves where there is no second address', async () => {
    await start({ hosts: ['127.0.0.1', '192.0.2.1'] });
    expect((await fetch(`http://127.0.0.1:${listener.port}/`)).status).toBe(200);
  });

  it('says which address it cannot have, and why', async () => {
    await start();
    const { port } = listener;
    const taken = createListener({ hosts: ['127.0.0.1'], port, handler: () => {} });
    await expect(taken).rejects.toThrow(
      `cannot listen on 127.0.0.1, port ${port}: another process`,
    );
    const absent = createListener({ hosts: ['192.0.2.1'], port: 0, handler: () => {} });
    await expect(absent).rejects.toMatchObject({ reason: 'BAD_SETTING' });
  });

  it('understands a first request that arrives byte by byte', async () => {
    await start();
    const socket = open();
    for (const byte of 'PUT / HTTP/1.1\r\nHost: x\r\n\r\n') {
      socket.write(byte);
      await turn();
    }
    expect(await firstBytes(socket)).toContain('HTTP/1.1 200');
  });

  it('understands an HTTP/2 preface that arrives byte by byte', async () => {
    await start();
    const socket = open();
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for (const byte of Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings])) {
      socket.write(Buffer.from([byte]));
      await turn();
    }
    // A SETTINGS frame of the server: its type is at the fourth byte.
    expect((await firstBytes(socket)).charCodeAt(3)).toBe(4);
  });

  it('tells HTTP/2 clients its limit of concurrent calls', async () => {
    await start();
    const session = openHttp2(`http://127.0.0.1:${listener.port}`);
    const settings = await new Promise<{ maxConcurrentStreams?: number }>((resolve) => {
      session.once('remoteSettings', resolve);
    });
    expect(settings.maxConcurrentStreams).toBe(256);
  });

  it('refuses headers above 16 KiB, over both versions', async () => {
    await start();
    const long = { long: 'x'.repeat(17 * 1024) };
    const answer = await fetch(`http://127.0.0.1:${listener.port}/`, { headers: long });
    expect(answer.status).toBe(431);
    const session = openHttp2(`http://127.0.0.1:${listener.port}`);
    await expect(getHttp2(session, '/', long)).rejects.toThrow();
    expect((await fetch(`http://127.0.0.1:${listener.port}/`)).status).toBe(200);
  });

  it.runIf(systemBacklog() >= 1_000)(
    'lets a thousand clients connect while the process is busy',
    async () => {
      await start({ hosts: ['127.0.0.1'] });
      // None is accepted before this turn of the loop ends.
      for (let count = 0; count < 1_000; count += 1) open();
      await new Promise<void>((resolve) => process.nextTick(resolve));
      const port = listener.port.toString(16).toUpperCase().padStart(4, '0');
      const states = readFileSync('/proc/net/tcp', 'utf8')
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .filter(([, , remote]) => remote?.endsWith(`:${port}`))
        .map(([, , , state]) => state);
      expect(states.filter((state) => state === ESTABLISHED)).toHaveLength(1_000);
    },
  );

  it('lives on when connections break at once', async () => {
    await start();
    for (const start of [
      '',
      'P',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'GET / HT',
      '\0'.repeat(100),
    ]) {
      for (const end of ['end', 'resetAndDestroy'] as const) {
        const socket = open();
        await new Promise((resolve) => socket.write(start || ' ', resolve));
        socket[end]();
      }
    }
    expect((await fetch(`http://127.0.0.1:${listener.port}/`)).status).toBe(200);
  });
});

describe('a slow client', () => {
  const times = { sniffMs: 100, requestMs: 200, checkMs: 20, idleMs: 200 };

  it.each([
    ['says nothing', ''],
    ['says half of a preface', 'PRI * HTTP/2.0\r\n'],
    ['says half of a header', 'GET / HTTP/1.1\r\nHo'],
    ['never ends its body', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc'],
    ['makes no call over HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'],
    ['makes no second call', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('that %s is cut', async (_what, bytes) => {
    await start({ times });
    const socket = open();
    if (bytes) socket.write(Buffer.from(bytes, 'latin1'));
    socket.resume();
    const startedAt = performance.now();
    await new Promise((resolve) => socket.once('close', resolve));
    const tookMs = performance.now() - startedAt;
    // Node.js keeps a connection a second longer than it tells.
    expect(tookMs).toBeLessThan(await timeBound(2_500));
  });

  it('that makes no second call over HTTP/2 is cut', async () => {
    await start({ times });
    const session = openHttp2(`http://127.0.0.1:${listener.port}`);
    await getHttp2(session, '/');
    await new Promise((resolve) => session.once('close', resolve));
  });

  it('that listens to a long answer is not', async () => {
    await start({ times });
    const session = openHttp2(`http://127.0.0.1:${listener.port}`);
    const stream = session.request({ ':path': '/wait' });
    let isClosed = false;
    stream.on('close', () => {
      isClosed = true;
    });
    const answer = await fetch(`http://127.0.0.1:${listener.port}/wait`);
    const body = answer.text().catch(() => 'cut');
    const first = await Promise.race([body, new Promise((resolve) => setTimeout(resolve, 700))]);
    expect([first, isClosed]).toEqual([undefined, false]);
    await listener.close();
    expect(await body).toBe('cut');
  });
});

describe('closing', () => {
  it('ends every connection, at once where nothing is on its way', async () => {
    await start();
    const silent = open();
    const waiting = fetch(`http://127.0.0.1:${listener.port}/wait`).then((answer) => answer.text());
    const session = openHttp2(`http://127.0.0.1:${listener.port}`);
    await getHttp2(session, '/');
    const failed = expect(waiting).rejects.toThrow();
    await listener.close();
    await failed;
    await expect.poll(() => silent.destroyed && session.destroyed).toBe(true);
    await expect(fetch(`http://127.0.0.1:${listener.port}/`)).rejects.toThrow();
    await listener.close();
  });
});

describe('the listener with a certificate', () => {
  it('serves HTTP/2 and HTTP/1.1', async () => {
    await start({ tls: { certificate, key } });
    const session = openHttp2(`https://127.0.0.1:${listener.port}`, { ca: certificate });
    expect(await getHttp2(session, '/y')).toEqual(['2.0', 'GET /y']);
    const version = await new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: listener.port,
        ca: certificate,
        agent: false as const,
      };
      requestHttps(options, (answer) => {
        answer.resume();
        resolve(answer.headers['version']);
      })
        .on('error', reject)
        .end();
    });
    expect(version).toBe('1.1');
    const other = openHttp2(`https://127.0.0.1:${listener.port}`, { ca: certificate });
    await expect(getHttp2(other, '/', { long: 'x'.repeat(17 * 1024) })).rejects.toThrow('431');
  });
});

function open(): Socket {
  const socket = connect(listener.port, '127.0.0.1');
  socket.on('error', () => {});
  cleanUp.push(() => socket.destroy());
  return socket;
}

function openHttp2(url: string, options: { ca?: Buffer } = {}): ClientHttp2Session {
  const session = connectHttp2(url, options);
  session.on('error', () => {});
  cleanUp.push(() => session.destroy());
  return session;
}

function getHttp2(
  session: ClientHttp2Session,
  path: string,
  headers: Record<string, string> = {},
): Promise<[unknown, string]> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': path, ...headers });
    let version: unknown;
    let text = '';
    stream.setEncoding('utf8');
    stream.on('response', (fields) => {
      version = fields['version'];
      if (fields[':status'] !== 200) reject(new Error(`HTTP ${fields[':status']}`));
    });
    stream.on('data', (data) => {
      text += data;
    });
    stream.on('error', reject);
    stream.on('end', () => resolve([version, text]));
  });
}

function firstBytes(socket: Socket): Promise<string> {
  return new Promise((resolve) => socket.once('data', (data) => resolve(data.toString('latin1'))));
}

/** The most connections that the system keeps for a process that is busy. 0 where it does not say. */
function systemBacklog(): number {
  const file = '/proc/sys/net/core/somaxconn';
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
