import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Code, createClient } from '@connectrpc/connect';
import { createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SandboxService } from '../../../../gen/computesdk/v1/sandbox_service_pb.ts';
import { timeBound } from '../../../support/time-bound.ts';
import { failure } from '../proxy/calls.ts';
import { type Gateway, startGateway, TOKEN } from '../proxy/fixture.ts';

let gateway: Gateway;

beforeAll(async () => {
  gateway = await startGateway({ socketPath: '/nowhere' });
});

afterAll(() => gateway.close());

const get = (path: string, init?: RequestInit) => fetch(gateway.url + path, init);
const post = (path: string, headers: Record<string, string>, body: string | Uint8Array = '{}') =>
  get(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(body),
  });

describe('the gateway', () => {
  it('tells its health and its keys', async () => {
    expect(await (await get('/healthz')).json()).toEqual({ status: 'SERVING' });
    expect(await (await get('/.well-known/jwks.json')).json()).toEqual({ keys: [] });
    expect((await get('/healthz', { method: 'HEAD' })).status).toBe(200);
    const wrong = await get('/healthz', { method: 'POST' });
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  it.each(['/healthz', '/nothing', '/computesdk.v1.AuthService/WhoAmI', '/sandboxes/x'])(
    'keeps browsers from guessing, framing, caching and running what %s answers',
    async (path) => {
      const { headers } = await get(path);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('cache-control')).toContain('no-store');
      expect(headers.get('content-security-policy')).toContain(
        "default-src 'none'; frame-ancestors 'none'",
      );
    },
  );

  it.each([
    ['/', 404, 'there is nothing at /'],
    ['/index.html', 404, 'there is nothing at /index.html'],
    ['/a/b/c', 404, 'there is nothing at /a/b/c'],
    ['/computesdk.v1.AuthService/', 404, 'there is nothing at'],
    ['/computesdk.v1.AuthService/WhoAmI', 400, 'encoding'],
  ])('answers GET %s clearly', async (path, status, message) => {
    const answer = await get(path);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      status,
      'application/json',
    ]);
    expect((await answer.json()).message).toContain(message);
  });

  it('names an unknown method in the protocol of the call', async () => {
    const path = '/computesdk.v1.Nonsense/Do';
    const json = await post(path, {});
    expect(json.status).toBe(501);
    expect(await json.json()).toMatchObject({
      code: 'unimplemented',
      message: expect.stringContaining('computesdk.v1.Nonsense/Do'),
    });
    for (const transport of [
      createGrpcTransport({ baseUrl: gateway.url }),
      createGrpcWebTransport({ baseUrl: gateway.url, httpVersion: '1.1' }),
    ]) {
      // This gateway of the test serves no SandboxService.
      const error = await failure(createClient(SandboxService, transport).listSandboxes({}));
      expect(error.code).toBe(Code.Unimplemented);
      expect(error.rawMessage).toContain('computesdk.v1.SandboxService/ListSandboxes');
    }
  });

  it.each([
    ['a wrong HTTP method', { method: 'PUT' }, 405, 'POST, GET'],
    [
      'a wrong media type',
      { headers: { 'content-type': 'text/plain' } },
      415,
      'application/grpc+proto',
    ],
    ['no media type', { headers: { 'content-type': '' } }, 415, 'application/json'],
    [
      'the media type of a stream',
      { headers: { 'content-type': 'application/connect+json' } },
      415,
      'is no stream',
    ],
    ['base64', { headers: { 'content-type': 'application/grpc-web-text' } }, 415, 'none of'],
    ['JSON that is none', { body: '{"' }, 400, 'invalid_argument'],
    [
      'bytes that are no message',
      { headers: { 'content-type': 'application/proto' }, body: '\x0f\x0f' },
      400,
      'invalid_argument',
    ],
    [
      'a body above 256 KiB',
      { body: JSON.stringify({ x: 'y'.repeat(300_000) }) },
      429,
      'resource_exhausted',
    ],
    ['an unknown compression', { headers: { 'content-encoding': 'zip' } }, 501, 'zip'],
    ['a timeout that is none', { headers: { 'connect-timeout-ms': 'soon' } }, 400, 'soon'],
  ])('answers %s clearly', async (_what, init, status, message) => {
    const answer = await get('/computesdk.v1.AuthService/WhoAmI', {
      method: 'POST',
      body: '{}',
      ...init,
      headers: {
        authorization: `Bearer ${TOKEN}`,
        'content-type': 'application/json',
        ...('headers' in init && init.headers),
      },
    });
    expect(answer.status).toBe(status);
    expect(await answer.text()).toContain(message);
  });

  it.each([
    ['application/json', 'connect-timeout-ms', '9999999999'],
    ['application/grpc-web+proto', 'grpc-timeout', '99999999H'],
  ])('takes a timeout beyond what a timer holds in %s', async (type, name, value) => {
    const body = type === 'application/json' ? '{}' : '\0\0\0\0\0';
    const path = '/grpc.health.v1.Health/Check';
    const answer = await post(path, { 'content-type': type, [name]: value }, body);
    expect(await answer.text()).toMatch(/SERVING|grpc-status: 0/);
  });

  it.each([
    ['application/grpc-web+proto', Buffer.from([0, 0, 0, 0, 2, 15, 15])],
    ['application/grpc-web+proto', Buffer.from([1, 0, 0, 0, 2, 15, 15])],
    ['application/grpc-web+proto', Buffer.from([0, 0, 0, 0, 9, 15])],
  ])('blames the request for bytes that are no message in %s', async (type, body) => {
    const answer = await post('/grpc.health.v1.Health/Check', { 'content-type': type }, body);
    expect(await answer.text()).toContain('grpc-status: 3');
  });

  it('refuses a bomb before it has grown', async () => {
    const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024, '{'));
    const before = process.memoryUsage().rss;
    const startedAt = performance.now();
    const answer = await post(
      '/computesdk.v1.AuthService/WhoAmI',
      { 'content-encoding': 'gzip' },
      bomb,
    );
    const tookMs = performance.now() - startedAt;
    const grown = process.memoryUsage().rss - before;
    expect(answer.status).toBe(429);
    expect(tookMs).toBeLessThan(await timeBound(1_000));
    expect(grown).toBeLessThan(80 * 1024 * 1024);
  });

  it('refuses two credentials at once', async () => {
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(gateway.port, '127.0.0.1', () => {
        socket.write(
          'POST /computesdk.v1.AuthService/WhoAmI HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
            'Content-Length: 2\r\nConnection: close\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n{}',
        );
      });
      socket.on('data', (data) => resolve(data.toString()));
    });
    expect(answer).toContain('HTTP/1.1 401');
    expect(answer).toContain('more than one Authorization header');
  });

  it('answers a call by GET', async () => {
    const path = '/grpc.health.v1.Health/Check?connect=v1&encoding=json&message=%7B%7D';
    expect(await (await get(path)).json()).toEqual({ status: 'SERVING' });
  });

  it('says that reflection needs HTTP/2', async () => {
    const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
    const answer = await post(path, { 'content-type': 'application/connect+json' }, '');
    expect(answer.status).toBe(505);
    expect(await answer.text()).toContain('HTTP/2');
  });
});
