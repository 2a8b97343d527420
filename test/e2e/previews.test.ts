import { createHash } from 'node:crypto';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PreviewStage, type SeenRequest } from '../support/preview-stage.ts';
import { delay, until } from '../support/until.ts';

const PORT = 3000;
const LARGE_BYTES = 64 * 1024 * 1024;
/** Longer than a call may take to arrive. */
const SLOW_SECONDS = 17;

let stage: PreviewStage;

beforeAll(async () => {
  stage = await PreviewStage.open();
  await stage.serve([PORT, 3001]);
}, 60_000);
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
}, 60_000);

describe('a request to a preview', () => {
  it('reaches the program as one for localhost, and its answer comes back', async () => {
    const answer = await stage.ask(PORT, {
      method: 'POST',
      path: '/echo?token=mine&x=%20',
      headers: { origin: `http://${stage.host(PORT)}`, 'x-mine': 'yes' },
      body: 'hello',
    });
    expect(answer.status).toBe(200);
    const { method, url, rawHeaders } = answer.json() as SeenRequest;
    expect({ method, url }).toEqual({ method: 'POST', url: '/echo?token=mine&x=%20' });
    const headers = new Map(
      rawHeaders.flatMap((name, index) =>
        index % 2 === 0 ? [[name.toLowerCase(), rawHeaders[index + 1]]] : [],
      ) as [string, string][],
    );
    expect(headers.get('host')).toBe(`localhost:${PORT}`);
    expect(headers.get('origin')).toBe(`http://localhost:${PORT}`);
    expect(headers.get('x-forwarded-host')).toBe(stage.host(PORT));
    expect(headers.get('x-forwarded-proto')).toBe('http');
    expect(headers.get('x-forwarded-for')).toBe('127.0.0.1');
    expect(headers.get('x-mine')).toBe('yes');
    expect(headers.has('cookie')).toBe(false);
  });

  it('uploads and downloads what is large', async () => {
    const body = Buffer.alloc(LARGE_BYTES, 'large ');
    const sha256 = createHash('sha256').update(body).digest('hex');
    const up = await stage.ask(PORT, { method: 'PUT', path: '/sink', body });
    expect(up.json()).toMatchObject({ bytes: LARGE_BYTES, sha256 });
    const down = await stage.ask(PORT, { path: `/big?bytes=${LARGE_BYTES}` });
    expect(down.text.length).toBe(LARGE_BYTES);
  });

  it('may take longer to arrive than a call may, if it goes on', async () => {
    const cookie = await stage.cookie(PORT);
    const quiet = await stage.begin(PORT, { path: '/events' });
    const { socket, closed } = openRaw();
    const head = `POST /sink HTTP/1.1\r\nHost: ${stage.host(PORT)}\r\nCookie: ${cookie}\r\n`;
    socket.write(`${head}Content-Length: ${SLOW_SECONDS}\r\nConnection: close\r\n\r\n`);
    for (let second = 0; second < SLOW_SECONDS; second++) {
      await delay(1_000);
      socket.write('x');
    }
    expect(await closed).toContain(`"bytes":${SLOW_SECONDS}`);
    // So may an answer that says nothing for a while.
    expect(quiet.destroyed).toBe(false);
    quiet.destroy();
  });

  it('keeps chunks and trailers, both ways', async () => {
    const answer = await stage.ask(PORT, { path: '/trailers', headers: { te: 'trailers' } });
    expect(answer.text).toBe('body');
    expect(answer.message.headers['trailer']).toBe('X-Checksum');
    expect(answer.message.trailers).toEqual({ 'x-checksum': 'abc' });
    const raw = await rawExchange(
      `POST /sink HTTP/1.1\r\nHost: ${stage.host(PORT)}\r\nCookie: ${await stage.cookie(PORT)}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n`,
    );
    expect(raw).toContain('"bytes":5');
    expect(raw).toContain('"trailers":{"x-sum":"7"}');
  });

  it('has no headers of one connection, and none that speak for us', async () => {
    const { message } = await stage.ask(PORT, { path: '/hop' });
    const names = message.rawHeaders
      .filter((_, index) => index % 2 === 0)
      .map((name) => name.toLowerCase());
    for (const name of ['x-hop', 'proxy-authenticate', 'x-computesdk-principal', 'alt-svc']) {
      expect(names).not.toContain(name);
    }
    expect(message.headers['x-kept']).toBe('yes');
    expect(message.headers['keep-alive']).not.toBe('timeout=77');
    expect(message.headers['set-cookie']).toEqual(['a=1; Path=/', 'b=2; HttpOnly']);
    expect(message.headers['clear-site-data']).toBe('"cache", "storage"');
    const { rawHeaders } = (
      await stage.ask(PORT, {
        headers: {
          connection: 'close, X-Private',
          'x-private': '1',
          te: 'gzip',
          'keep-alive': '5',
          'proxy-connection': 'x',
        },
      })
    ).json() as SeenRequest;
    const sent = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
    for (const name of ['x-private', 'te', 'keep-alive', 'proxy-connection']) {
      expect(sent).not.toContain(name);
    }
  });

  it('is aborted in the program when the client leaves', async () => {
    const before = await aborted();
    const answer = await stage.begin(PORT, { path: '/hang' });
    answer.destroy();
    await until(async () => (await aborted()) === before + 1, { what: 'the abort in the box' });
  });

  it('breaks off where the program breaks off', async () => {
    await expect(stage.ask(PORT, { path: '/broken' })).rejects.toThrow(/aborted|ECONNRESET/);
  });

  it('begins before the first byte of a body, as events need it', async () => {
    const answer = await stage.begin(PORT, { path: '/events' });
    expect(answer.headers['content-type']).toBe('text/event-stream');
    answer.destroy();
  });

  it('answers HEAD, Expect and redirects as the program does', async () => {
    const head = await stage.ask(PORT, { method: 'HEAD', path: '/big?bytes=77' });
    expect(head.message.headers['content-length']).toBe('77');
    expect(head.text).toBe('');
    const expecting = await rawExchange(
      `POST /sink HTTP/1.1\r\nHost: ${stage.host(PORT)}\r\nCookie: ${await stage.cookie(PORT)}\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi`,
    );
    expect(expecting).toMatch(/^HTTP\/1\.1 100 Continue\r\n/);
    expect(expecting).toContain('"bytes":2');
    const redirect = await stage.ask(PORT, { path: '/redirect' });
    expect(redirect.message.headers.location).toBe(`http://${stage.host(PORT)}/page?x=1`);
  });

  it('passes hints on that come before the answer', async () => {
    const raw = await rawExchange(
      `GET /early HTTP/1.1\r\nHost: ${stage.host(PORT)}\r\nCookie: ${await stage.cookie(PORT)}\r\nConnection: close\r\n\r\n`,
    );
    expect(raw).toMatch(
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/style.css>; rel=preload; as=style\r\n/,
    );
    expect(raw).toContain('late');
  });

  it("shares the program's connection with requests of the same viewer only", async () => {
    const ask = async (cookie: string) =>
      (await stage.ask(3001, { path: '/connection', cookie })).json() as { connection: number };
    const own = await stage.cookie(3001);
    const { connection } = await ask(own);
    expect((await ask(own)).connection).toBe(connection);
    const other = await stage.enter(3001, stage.gateway.apiKey);
    expect((await ask(other)).connection).not.toBe(connection);
  });

  it('works over HTTP/2', async () => {
    const session = connectHttp2(`http://127.0.0.1:${stage.gateway.port}`);
    const cookie = await stage.cookie(PORT);
    const ask = (headers: Record<string, string>, body?: string) =>
      new Promise<{ status: number; text: string; trailers: object }>((resolve, reject) => {
        const stream = session.request({ ':authority': stage.host(PORT), cookie, ...headers });
        let status = 0;
        let text = '';
        let trailers = {};
        stream.on('response', (answer) => {
          status = Number(answer[':status']);
        });
        stream.on('trailers', (fields) => {
          trailers = { ...fields };
        });
        stream.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        stream.on('end', () => resolve({ status, text, trailers }));
        stream.on('error', reject);
        stream.end(body);
      });
    const sink = await ask({ ':method': 'POST', ':path': '/sink' }, 'hello');
    expect(sink).toMatchObject({ status: 200 });
    expect(JSON.parse(sink.text)).toMatchObject({ bytes: 5, framing: [null, 'chunked'] });
    expect((await ask({ ':path': '/trailers' })).trailers).toMatchObject({ 'x-checksum': 'abc' });
    expect((await ask({ ':path': '/hop' })).status).toBe(200);
    session.close();
  });
});

describe('a WebSocket to a preview', () => {
  it('carries bytes both ways, with what came early and with each end by itself', async () => {
    const upgrade = await stage.upgrade(PORT, { raw: 'early ' });
    expect(upgrade.status).toBe(101);
    expect(upgrade.text).not.toContain('evil');
    upgrade.socket.write('more');
    await upgrade.until(/early more$/);
    upgrade.socket.end();
    await upgrade.until(/bye$/);
    await until(() => upgrade.isClosed, { what: 'the end' });
  });

  it('goes on in one direction when the program has ended the other', async () => {
    const upgrade = await stage.upgrade(PORT, { path: '/half' });
    await until(() => upgrade.hasEnded, { what: "the end of the program's side" });
    expect(upgrade.text).toMatch(/\r\n\r\ndone$/);
    upgrade.socket.end('late');
    const late = async () =>
      ((await stage.ask(PORT, { path: '/seen' })).json() as { late: string }).late;
    await until(async () => (await late()) === 'late', { what: 'what came late' });
  });

  it('is refused as the program refuses it', async () => {
    const upgrade = await stage.upgrade(PORT, { path: '/refused' });
    await until(() => upgrade.hasEnded, { what: 'the end' });
    expect(upgrade.status).toBe(426);
    expect(upgrade.text).toMatch(/X-Why: because\r\n(.*\r\n)*\r\nno$/);
    upgrade.socket.destroy();
  });
});

it('reaches programs that listen on IPv6 alone, or on every address', async () => {
  await stage.serve([3006], '::1');
  expect((await stage.ask(3006)).status).toBe(200);
  await stage.serve([3007], '0.0.0.0');
  expect((await stage.ask(3007)).status).toBe(200);
  await stage.serve([3008], '::');
  expect((await stage.ask(3008)).status).toBe(200);
});

describe('a port without a listener', () => {
  it('has a page that looks again by itself, without a script', async () => {
    const answer = await stage.ask(4_444, { path: '/' });
    expect(answer.status).toBe(502);
    expect(answer.text).toContain('Nothing is listening on 4444 yet');
    expect(answer.message.headers['refresh']).toBe('2');
    expect(answer.message.headers['content-security-policy']).toContain("default-src 'none'");
    expect(answer.message.headers['content-security-policy']).toContain('frame-ancestors *');
    expect(answer.text).not.toContain('<script');
  });
});

async function aborted(): Promise<number> {
  return ((await stage.ask(PORT, { path: '/seen' })).json() as { aborted: number }).aborted;
}

function rawExchange(text: string): Promise<string> {
  const { socket, closed } = openRaw();
  socket.write(text, 'latin1');
  return closed;
}

/** A connection to the gateway, and what came on it until its end. */
function openRaw(): { readonly socket: Socket; readonly closed: Promise<string> } {
  const socket = connect(stage.gateway.port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    answer += chunk;
  });
  const closed = new Promise<string>((resolve, reject) => {
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
  });
  return { socket, closed };
}
