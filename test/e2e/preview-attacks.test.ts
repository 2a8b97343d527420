import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PreviewStage } from '../support/preview-stage.ts';

const PORT = 3000;

let stage: PreviewStage;

beforeAll(async () => {
  stage = await PreviewStage.open();
  await stage.serve([PORT]);
}, 60_000);
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
}, 60_000);

describe('what a program in a sandbox gets of a request', () => {
  const SECRET = 'S'.repeat(43);

  /** Headers that carry credentials of ours, in every way that comes to mind. */
  function variants(): [string, string][] {
    const { token, gateway } = stage;
    const key = gateway.apiKey;
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const session = `__Host-computesdk=${SECRET}`;
    const authorization = [
      ...[`Bearer ${token}`, `bearer ${token}`, `BEARER  ${token}`, `Bearer\t${token}`, token],
      ...[`Token ${token}`, `Bearer "${token}"`, `Bearer ${token}, Basic YQ==`, `token=${token}`],
      ...[`Basic ${base64(`:${token}`)}`, `Basic ${base64(`user:${token}`)}`, `Bearer ${key}`],
      ...[`bearer ${key}`, key, `Basic ${base64(`key:${key}`)}`, `Basic ${base64(key)}`],
      ...[`Digest username="x", response="${token}"`, `Bearer ${token};v=1`],
    ];
    const cookies = [
      ...[session, `a=1; ${session}`, `${session}; a=1`, `a=1;${session};b=2`, ` ${session} `],
      ...[`__Host-computesdk =${SECRET}`, `__Host-computesdk\t=${SECRET}`, `a="1; ${session}"`],
      ...[`a=1, ${session}`, `$Version=1; ${session}`, `${session}; ${session}`, `=${session}`],
      ...[`__HOST-COMPUTESDK=${SECRET}`, `__Host-computesdk-link=${SECRET}`, `;;${session};;`],
      ...[`__Host-computesdk-preview=${SECRET}`, `__Host-computesdk-preview-framed=${SECRET}`],
    ];
    const others = [
      ...['x-auth-token', 'x-access-token', 'proxy-authorization', 'x-authorization', 'x-token'],
      ...['x-forwarded-access-token', 'sec-websocket-protocol', 'x-custom', 'x-computesdk-token'],
      ...['x-forwarded-authorization', 'x-session', 'x-original-authorization'],
    ];
    return [
      ...authorization.map((value): [string, string] => ['authorization', value]),
      ...['Authorization', 'AUTHORIZATION', 'authoriZation'].map((name): [string, string] => [
        name,
        `Bearer ${token}`,
      ]),
      ...cookies.map((value): [string, string] => ['cookie', value]),
      ...others.map((name): [string, string] => [name, `bearer.${token}, ${token}`]),
      ['x-api-key', key],
      ['x-computesdk-principal', SECRET],
      ['X-ComputeSDK-Anything', SECRET],
      ['x-forwarded-for', SECRET],
      ['forwarded', `for=${SECRET}`],
    ];
  }

  function secrets(): string[] {
    const base64 = (text: string) => Buffer.from(text).toString('base64').slice(4, -8);
    const texts = [stage.token, stage.gateway.apiKey];
    return [SECRET, ...texts, ...texts.map(base64), ...texts.map((text) => base64(`user:${text}`))];
  }

  it('has no credential of ours, over HTTP and WebSocket', async () => {
    const own = await stage.cookie(PORT);
    const all = variants();
    expect(all.length).toBeGreaterThanOrEqual(50);
    for (const [index, [name, value]] of all.entries()) {
      const isCookie = name.toLowerCase() === 'cookie';
      const cookie = isCookie ? `${own}; ${value}` : own;
      const headers = { 'x-case': String(index), ...(!isCookie && { [name]: value }) };
      expect((await stage.ask(PORT, { cookie, headers })).status, value).toBe(200);
      const upgrade = await stage.upgrade(PORT, { cookie, headers });
      expect(upgrade.status, value).toBe(101);
      upgrade.socket.destroy();
    }
    const seen = await stage.seen(PORT);
    expect(seen.filter(({ rawHeaders }) => rawHeaders.includes('x-case')).length).toBe(
      2 * all.length,
    );
    const text = JSON.stringify(seen);
    for (const secret of [...secrets(), ...own.split(/[=;]/)]) {
      if (secret.length > 20) expect(text.includes(secret), secret).toBe(false);
    }
    expect(text.toLowerCase()).not.toContain('computesdk');
  });

  it("has the program's own credentials", async () => {
    const cookie = `app=1; ${await stage.cookie(PORT)}; other=a=b`;
    const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.AAAAAAAAAAAAAAAAAAAAAAAA';
    const authorization = `Bearer ${jwt}`;
    const answer = await stage.ask(PORT, {
      cookie,
      headers: { authorization, 'x-api-key': 'app-key' },
    });
    const { rawHeaders } = answer.json() as { rawHeaders: string[] };
    expect(rawHeaders).toContain('app=1; other=a=b');
    expect(rawHeaders).toContain(authorization);
    expect(rawHeaders).toContain('app-key');
  });
});

describe('no request leaves the sandbox', () => {
  it('however its host, port or target is spelled', async () => {
    let hits = 0;
    const canary = createServer((_request, response) => {
      hits += 1;
      response.end('canary');
    });
    await new Promise<void>((resolve) => canary.listen(0, resolve));
    const { port } = canary.address() as AddressInfo;
    try {
      const id = stage.sandboxId;
      const cookie = `${await stage.cookie(PORT)}; ${await stage.cookie(port)}`;
      const before = (await stage.seen(PORT)).length;
      const domain = `localhost:${stage.gateway.port}`;
      for (const host of [
        ...[
          '0',
          '00',
          '03000',
          '+3000',
          '-3000',
          '3000.0',
          '0xbb8',
          '65536',
          '99999',
          '3e3',
          '',
        ].map((label) => `${label}-${id}.${domain}`),
        ...[
          '3000%20',
          '3000 ',
          '\u0663',
          '3_000',
          '127.0.0.1',
          `localhost:${port}`,
          '3000-3000',
        ].map((label) => `${label}-${id}.${domain}`),
        ...[
          `3000-${id}.${domain}.`,
          `3000-${id}.localhost.`,
          `3000-${id}x.${domain}`,
          `3000-${id.slice(0, -1)}.${domain}`,
        ],
        ...[`3000-${id}.evil.${domain}`, `evil.3000-${id}.${domain}`, `3000-${id}.localhost.evil`],
        ...[
          `3000-${id}localhost`,
          `3000_${id}.${domain}`,
          `3000-${id}@127.0.0.1:${port}`,
          `3000.${id}.${domain}`,
        ],
        ...[
          `127.0.0.1:${port}`,
          `[::1]:${port}`,
          '169.254.169.254',
          `3000-${id}.${domain}:${port}`,
          `3000-${id}.localhost:99999`,
        ],
      ]) {
        const raw = await rawRequest(
          `GET /seen HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`,
        );
        expect(raw, host).toMatch(/^HTTP\/1\.1 4\d\d /);
        const upgrade = await rawRequest(
          `GET /s HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
        );
        expect(upgrade, host).toMatch(/^(HTTP\/1\.1 4\d\d |$)/);
      }
      const own = `Host: ${stage.host(PORT)}\r\nCookie: ${cookie}\r\nConnection: close\r\n`;
      for (const target of [
        ...[
          `http://127.0.0.1:${port}/`,
          `https://localhost:${port}/`,
          '*',
          `127.0.0.1:${port}`,
          '',
        ],
        ...[`@127.0.0.1:${port}/`, `\\\\127.0.0.1:${port}\\`, `http:127.0.0.1:${port}`],
      ]) {
        const raw = await rawRequest(`GET ${target} HTTP/1.1\r\n${own}\r\n`);
        expect(raw, target).toMatch(/^(HTTP\/1\.1 400 |$)/);
      }
      expect(await rawRequest(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\n${own}\r\n`)).not.toContain(
        ' 200 ',
      );
      expect((await stage.seen(PORT)).length).toBe(before);
      for (const path of [
        `//127.0.0.1:${port}/`,
        `/http://127.0.0.1:${port}/`,
        `/..//ports/${port}`,
        `/\\127.0.0.1:${port}`,
      ]) {
        expect((await stage.ask(PORT, { path })).json()).toMatchObject({ url: path });
      }
      // The same number is another port inside the sandbox.
      const inside = await stage.ask(port, { path: '/' });
      expect(inside.text).toContain(`Nothing is listening on ${port} yet`);
      // The program's redirects are the browser's to follow.
      expect(hits).toBe(0);
    } finally {
      await new Promise((resolve) => canary.close(resolve));
    }
  });

  it('and none is smuggled in with another', async () => {
    const cookie = await stage.cookie(PORT);
    const before = (await stage.seen(PORT)).filter(({ url }) => url === '/smuggled').length;
    const head = `Host: ${stage.host(PORT)}\r\nCookie: ${cookie}\r\n`;
    const second = `GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    for (const framing of [
      `Content-Length: 5\r\nTransfer-Encoding: chunked`,
      `Content-Length: 0\r\nContent-Length: ${second.length}`,
      'Transfer-Encoding: chunked, identity',
      'Transfer-Encoding: xchunked',
      'Transfer-Encoding: gzip, chunked',
      'Transfer-Encoding : chunked',
      'Connection: Content-Length\r\nTransfer-Encoding: identity',
    ]) {
      const raw = await rawRequest(
        `POST /echo HTTP/1.1\r\n${head}Connection: close\r\n${framing}\r\n\r\n0\r\n\r\n${second}`,
      );
      expect(raw, framing).toMatch(/^HTTP\/1\.1 (4|5)\d\d /);
    }
    // A body of a method that has none is a body all the same.
    const length = `Content-Length: ${second.length}\r\nConnection: close\r\n\r\n${second}`;
    for (const method of ['GET', 'DELETE', 'OPTIONS', 'HEAD']) {
      expect(await rawRequest(`${method} /echo HTTP/1.1\r\n${head}${length}`)).toMatch(/ 200 /);
      const chunked = `Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n${second.length.toString(16)}\r\n${second}\r\n0\r\n\r\n`;
      expect(await rawRequest(`${method} /echo HTTP/1.1\r\n${head}${chunked}`)).toMatch(/ 200 /);
    }
    const after = (await stage.seen(PORT)).filter(({ url }) => url === '/smuggled').length;
    expect(after).toBe(before);
  });
});

function rawRequest(text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(stage.gateway.port, '127.0.0.1');
    let answer = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      answer += chunk;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
    socket.on('end', () => socket.end());
    socket.write(text, 'latin1');
  });
}
