import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scaled, seed } from '../../../support/scale.ts';
import { type Gateway, startGateway } from '../proxy/fixture.ts';

/** Random requests per property; a tenth of it outside of the soak. */
const RUNS = 3_000;

let gateway: Gateway;
let session: ClientHttp2Session;

beforeAll(async () => {
  gateway = await startGateway({
    socketPath: '/nowhere',
    allowedHosts: ['box.example.com', 'Port.Example.com:8443'],
  });
  session = connectHttp2(gateway.url);
});

afterAll(async () => {
  session.destroy();
  await gateway.close();
});

describe('the host guard', () => {
  it.each([
    'localhost',
    'LOCALHOST:1',
    '127.0.0.1:4000',
    '[::1]',
    '[::1]:65535',
    'box.example.com',
    'box.example.com:443',
    'Box.Example.Com',
    'port.example.com:8443',
  ])('lets %s pass', async (host) => {
    expect(await statusHttp1(`Host: ${host}\r\n`)).toBe(200);
    expect(await statusHttp2(host)).toBe(200);
  });

  it.each([
    'evil.example',
    'localhost.evil.example',
    'evil.example:4000',
    'localhost.',
    'port.example.com',
    'port.example.com:443',
    '127.0.0.2',
    '[::2]',
    '169.254.169.254',
    '999.999.999.999',
    '1.2.3.4.5',
    '0x7f000001',
    '[1:2:3:4:5:6:7:8:9]',
  ])('misdirects %s', async (host) => {
    expect(await statusHttp1(`Host: ${host}\r\n`)).toBe(421);
    expect(await statusHttp2(host)).toBe(421);
  });

  it.each([
    '',
    '[',
    ']',
    '[]',
    'a b',
    'x:99999',
    'x:',
    'x:y',
    ':80',
    'a/b',
    'user@localhost',
    'localhost#',
    'localhost\\',
    '%',
    'é',
    'a,b',
    '[::1',
    `${'a'.repeat(300)}`,
    '-',
    '[::1]]',
  ])('calls the host "%s" malformed', async (host) => {
    expect(await statusHttp1(`Host: ${host}\r\n`)).toBe(400);
  });

  it('says what is missing, doubled or contradictory', async () => {
    expect(await textHttp1('')).toContain('has no Host header');
    expect(await textHttp1('Host: localhost\r\nHost: localhost\r\n')).toContain(
      'more than one Host',
    );
    expect(await textHttp1('Host: evil.example\r\n')).toContain('COMPUTESDK_ALLOWED_HOSTS');
    const secret = 'aFevAm_I1TCcLjfbkz17l43eoysjtrU6r0p3MAKR_48';
    expect(await textHttp1(`Host: ${secret}\r\n`)).toContain('the host [redacted] is not served');
    expect(await statusHttp2('localhost', { host: 'evil.example' })).toBe(400);
    expect(await statusHttp2('localhost', { host: 'localhost' })).toBe(200);
  });

  it('guards sandboxes and unknown paths alike', async () => {
    for (const path of ['/sandboxes/x', '/computesdk.v1.AuthService/WhoAmI', '/nothing']) {
      expect(await textHttp1('Host: evil.example\r\n', path)).toContain('HTTP/1.1 421');
    }
  });
});

describe('whatever a client sends', () => {
  it.each([
    '//',
    '///x',
    '/\\',
    '/%',
    '/%zz',
    '*',
    'http://evil.example/',
    'http://[/',
    '/\t',
    '/?',
    '/?=&&',
    '/sandboxes/',
    '/sandboxes//',
    '/sandboxes/%2e%2e/x',
    `/${'a'.repeat(9_000)}`,
    'x',
    '/computesdk.v1.AuthService/WhoAmI?%',
  ])('the target %s is answered and harmless', async (target) => {
    for (const method of ['GET', 'POST', 'OPTIONS', 'PUT', 'TRACE']) {
      expect(await textHttp1('Host: localhost\r\n', target, method)).toMatch(/^HTTP\/1\.1 4\d\d /);
    }
  });

  it('as a host, the server lives', async () => {
    const host = fc.string({ unit: 'binary-ascii', maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(host, async (text) => {
        const head = Buffer.from(
          `GET /healthz HTTP/1.1\r\nHost: ${text}\r\nConnection: close\r\n\r\n`,
        );
        expect((await send(head)).slice(0, 12)).toMatch(/^(?:HTTP\/1\.1 (?:200|400|421))?$/);
      }),
      { numRuns: scaled(RUNS), seed },
    );
    expect(await statusHttp1('Host: localhost\r\n')).toBe(200);
  });

  it('as a target, the server lives', async () => {
    const target = fc.string({ unit: 'binary-ascii', maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(target, async (text) => {
        const answer = await textHttp1('Host: localhost\r\n', `/${text}`, 'POST');
        expect(answer).not.toMatch(/^HTTP\/1\.1 5/);
      }),
      { numRuns: scaled(RUNS), seed },
    );
    expect(await statusHttp1('Host: localhost\r\n')).toBe(200);
  });

  it('as a whole request, the server lives', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
        await send(Buffer.concat([bytes, Buffer.from('\r\n\r\n')]));
      }),
      { numRuns: scaled(RUNS), seed },
    );
    expect(await statusHttp1('Host: localhost\r\n')).toBe(200);
  });

  it('after the preface of HTTP/2, the server lives', async () => {
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        await send(Buffer.concat([preface, settings, bytes]));
      }),
      { numRuns: scaled(RUNS), seed },
    );
    expect(await statusHttp2('localhost')).toBe(200);
  });

  it('as :authority over HTTP/2, the server lives', async () => {
    for (const authority of ['[', 'a b', 'x:99999', '//', 'é', '', '@', '%', '[::1', 'a\\b']) {
      await statusHttp2(authority).catch(() => {});
    }
    expect(await statusHttp2('localhost')).toBe(200);
  });
});

async function statusHttp1(headers: string): Promise<number> {
  return Number((await textHttp1(headers)).slice(9, 12));
}

function textHttp1(headers: string, target = '/healthz', method = 'GET'): Promise<string> {
  const head = `${method} ${target} HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`;
  return send(Buffer.from(head, 'latin1'));
}

/** Sends bytes and nothing more, and returns what comes back. */
function send(bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(gateway.port, '127.0.0.1', () => socket.end(bytes));
    socket.on('data', (data) => {
      text += data.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}

function statusHttp2(authority: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/healthz', ':authority': authority, ...headers });
    stream.on('response', (fields) => resolve(Number(fields[':status'])));
    stream.on('error', reject);
    stream.resume();
  });
}
