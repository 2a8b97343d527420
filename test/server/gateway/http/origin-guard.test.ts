import { cors } from '@connectrpc/connect';
import { afterEach, describe, expect, it } from 'vitest';
import { newId } from '../../../../server/core/id.ts';
import { type Gateway, startGateway, TOKEN } from '../proxy/fixture.ts';

const WHO_AM_I = '/computesdk.v1.AuthService/WhoAmI';
const PREVIEW = `3000-${newId('sbx')}`;
const APP = 'https://app.example.com';

let gateway: Gateway;

afterEach(() => gateway.close());

async function start(publicUrl: string): Promise<void> {
  gateway = await startGateway({ socketPath: '/nowhere', publicUrl, allowedOrigins: [APP] });
}

describe('a gateway at a loopback address', () => {
  it.each([
    'http://localhost:5173',
    'http://127.0.0.1:3000',
    'https://other.example',
    'http://[::1]:1',
    APP,
  ])('lets %s call, and read the answer', async (origin) => {
    await start('http://localhost:4000');
    const answer = await call(origin);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
    const credentials = answer.headers.get('access-control-allow-credentials');
    expect(credentials).toBe(origin === APP ? 'true' : null);
    expect(answer.headers.get('vary')).toBe('Origin');
    for (const name of cors.exposedHeaders) {
      expect(answer.headers.get('access-control-expose-headers')).toContain(name);
    }
  });

  it.each([
    'null',
    `http://${PREVIEW}.localhost:4000`,
    `http://${PREVIEW}.localhost.:4000`,
    `https://${PREVIEW}.preview.example.com`,
    `http://x.${PREVIEW}.localhost`,
    'file://',
    'chrome-extension://abc',
    'http://a.example, http://b.example',
    'http://localhost:5173/',
    'http://user@localhost',
    'HTTP://LOCALHOST',
    'http://[',
    '',
    'localhost',
    'javascript:alert(1)',
  ])('refuses %s', async (origin) => {
    await start('http://localhost:4000');
    await expectRefused(origin);
  });

  it('asks origins that are not listed to leave cookies at home', async () => {
    await start('http://localhost:4000');
    await expectRefused('http://localhost:5173', { cookie: 'a=b' });
    expect((await call(APP, { cookie: 'a=b' })).status).toBe(200);
  });
});

describe('a gateway at a public address', () => {
  it.each([APP, 'https://box.example.com'])('lets the listed origin %s call', async (origin) => {
    await start('https://box.example.com');
    expect((await call(origin)).headers.get('access-control-allow-origin')).toBe(origin);
  });

  it.each([
    'http://localhost:5173',
    'http://app.example.com',
    'https://app.example.com:444',
    'https://evil-app.example.com',
    'https://app.example.com.evil.example',
    'https://sub.app.example.com',
    'https://example.com',
    'null',
  ])('refuses %s', async (origin) => {
    await start('https://box.example.com');
    await expectRefused(origin);
  });

  it('lets programs call, which have no origin', async () => {
    await start('https://box.example.com');
    const answer = await call(undefined);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('access-control-allow-origin')).toBe(null);
    expect(answer.headers.get('vary')).toBe('Origin');
  });
});

describe('a preflight', () => {
  it('of an allowed origin is answered with exact lists, for two hours', async () => {
    await start('https://box.example.com');
    for (const path of [WHO_AM_I, `/sandboxes/${newId('sbx')}/computesdk.v1.TerminalService/X`]) {
      const answer = await preflight(APP, path);
      expect(answer.status).toBe(204);
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'access-control-allow-origin': APP,
        'access-control-allow-methods': 'POST, GET',
        'access-control-allow-headers': [...cors.allowedHeaders, 'Authorization'].join(', '),
        'access-control-max-age': '7200',
        vary: 'Origin',
      });
    }
  });

  it('of another origin is refused', async () => {
    await start('https://box.example.com');
    const answer = await preflight('https://evil.example', WHO_AM_I);
    expect(answer.status).toBe(403);
    expect(answer.headers.get('access-control-allow-origin')).toBe(null);
  });
});

describe('a refusal', () => {
  it.each([
    'application/json',
    'application/connect+json',
    'application/grpc-web+proto',
    'application/grpc',
  ])('is in the protocol of %s', async (type) => {
    await start('https://box.example.com');
    const answer = await call('https://evil.example', { 'content-type': type });
    expect(answer.status).toBe(403);
    const told = [await answer.text(), answer.headers.get('grpc-message') ?? ''].join('');
    expect(told).toContain('COMPUTESDK_ALLOWED_ORIGINS');
    if (type.includes('grpc')) {
      expect(`${told} ${answer.headers.get('grpc-status')}`).toMatch(/grpc-status: 7|7$/);
    } else {
      expect(told).toContain('ERROR_REASON_ORIGIN_NOT_ALLOWED');
    }
  });
});

function call(origin: string | undefined, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(gateway.url + WHO_AM_I, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${TOKEN}`,
      ...(origin !== undefined && { origin }),
      ...headers,
    },
    body: '{}',
  });
}

function preflight(origin: string, path: string): Promise<Response> {
  const headers = {
    origin,
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization,content-type',
  };
  return fetch(gateway.url + path, { method: 'OPTIONS', headers });
}

async function expectRefused(origin: string, headers: Record<string, string> = {}): Promise<void> {
  const answer = await call(origin, headers);
  expect(answer.status).toBe(403);
  expect(answer.headers.get('access-control-allow-origin')).toBe(null);
  const error = await answer.json();
  expect(error).toMatchObject({
    code: 'permission_denied',
    message: expect.stringContaining('COMPUTESDK_ALLOWED_ORIGINS'),
  });
}
