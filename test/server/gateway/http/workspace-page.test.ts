import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../../server/core/log.ts';
import { createListener, type Listener } from '../../../../server/gateway/http/listener.ts';
import { setSecurityHeaders } from '../../../../server/gateway/http/security-headers.ts';
import { readWebFiles, type WebFiles } from '../../../../server/gateway/http/web-files.ts';
import { createWorkspacePage } from '../../../../server/gateway/http/workspace-page.ts';
import { testFront } from '../support/test-front.ts';

const ID = `sbx${'0'.repeat(26)}`;
const PUBLIC_URL = 'http://localhost:4000';

let files: WebFiles | undefined;
let isBuilt = true;
let newest: (cookie: string | undefined) => Promise<string | undefined>;
let listener: Listener;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'web-'));
  mkdirSync(join(directory, 'assets'));
  writeFileSync(join(directory, 'index.html'), '<!doctype html><title>Terminal</title>');
  writeFileSync(join(directory, 'inputs.json'), '{"secret":1}');
  writeFileSync(join(directory, 'assets', 'index-abc123.js'), 'export {};');
  writeFileSync(join(directory, 'assets', 'index-abc123.css'), 'body{}');
  files = await readWebFiles(directory);
  listener = await createListener({
    hosts: ['127.0.0.1'],
    port: 0,
    handler: (request, response) => {
      setSecurityHeaders(response);
      createWorkspacePage({
        publicUrl: PUBLIC_URL,
        files: isBuilt ? files : undefined,
        newestSandbox: (cookie) => newest(cookie),
        log: silentLogger,
      })(request, response);
    },
  });
});

afterAll(() => listener.close());

type Answer = {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
};

/** Sends the path as it is: fetch() would resolve dots, and set the Host itself. */
function get(path: string, method = 'GET', headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { port: listener.port, path, method, agent: false };
    const all = { host: 'localhost:4000', ...headers };
    const request = httpRequest({ ...options, headers: all }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => {
        body += text;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode, headers: response.headers, body }),
      );
    });
    request.on('error', reject);
    request.end();
  });
}

describe('the workspace page', () => {
  it('is served for every sandbox id, under a policy without inline code or styles', async () => {
    const { status, headers, body } = await get(`/workspace/${ID}`);
    expect([status, body]).toEqual([200, '<!doctype html><title>Terminal</title>']);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['cache-control']).toBe('no-store');
    expect(headers['x-content-type-options']).toBe('nosniff');
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(policy).toContain("base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toContain('unsafe');
  });

  it('serves the built files, to be kept for ever', async () => {
    const script = await get('/workspace/assets/index-abc123.js');
    expect([script.status, script.body]).toEqual([200, 'export {};']);
    expect(script.headers['content-type']).toBe('text/javascript; charset=utf-8');
    expect(script.headers['cache-control']).toBe('public, max-age=31536000, immutable');
    expect(script.headers['x-content-type-options']).toBe('nosniff');
    const style = await get('/workspace/assets/index-abc123.css');
    expect(style.headers['content-type']).toBe('text/css; charset=utf-8');
  });

  it.each([`/workspace/${ID}`, '/workspace/assets/index-abc123.js', '/workspace/nothing'])(
    'answers HEAD %s like GET, without the body',
    async (path) => {
      const [full, head] = [await get(path), await get(path, 'HEAD')];
      expect([head.status, head.body]).toEqual([full.status, '']);
      expect(head.headers['content-length']).toBe(full.headers['content-length']);
      expect(Number(head.headers['content-length'])).toBe(Buffer.byteLength(full.body));
    },
  );

  it.each([
    '/workspace/assets/',
    '/workspace/assets/other.js',
    '/workspace/assets/../inputs.json',
    '/workspace/assets/..%2finputs.json',
    '/workspace/assets/%2e%2e/inputs.json',
    '/workspace/assets/../../../package.json',
    '/workspace/assets//etc/passwd',
    '/workspace/assets/__proto__',
    '/workspace/assets/constructor',
    '/workspace/assets/index-abc123.js/',
    '/workspace/assets/index-abc123.js%00',
    '/workspace/inputs.json',
    '/workspace/index.html',
    '/workspace/../package.json',
    '/workspace/sbx',
    `/workspace/${ID}/`,
    `/workspace/${ID.toUpperCase()}`,
    '/workspace/sbx<script>alert(1)</script>',
  ])('has nothing at %s', async (path) => {
    const { status, headers, body } = await get(path);
    expect(status).toBe(404);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['cache-control']).toBe('no-store');
    expect(body).toContain('There is no such page');
    expect(body).not.toContain('<script');
  });

  it('takes GET and HEAD only', async () => {
    const { status, headers } = await get(`/workspace/${ID}`, 'POST');
    expect([status, headers['allow']]).toEqual([405, 'GET, HEAD']);
  });

  it('leads a browser that is signed in to its newest sandbox', async () => {
    const cookies: unknown[] = [];
    newest = async (cookie) => {
      cookies.push(cookie);
      return ID;
    };
    for (const path of ['/workspace', '/workspace/', '/workspace?next=https://evil.example']) {
      const { status, headers } = await get(path, 'GET', { cookie: 'a=b' });
      expect([status, headers['location']]).toEqual([303, `${PUBLIC_URL}/workspace/${ID}`]);
      expect(headers['cache-control']).toBe('no-store');
    }
    expect(cookies).toEqual(['a=b', 'a=b', 'a=b']);
  });

  it('tells a browser that is not signed in what it needs', async () => {
    newest = async () => undefined;
    const { status, headers, body } = await get('/workspace');
    expect(status).toBe(401);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(body).toContain('A magic link opens this page');
    expect(body).toContain(`redirectUrl: '${PUBLIC_URL}/workspace'`);
  });

  it('does not tell what went wrong inside', async () => {
    newest = async () => {
      throw new Error('the database is at /secret');
    };
    const { status, body } = await get('/workspace');
    expect(status).toBe(500);
    expect(body).not.toContain('secret');
  });

  it.each([
    ['127.0.0.1:4000', '/workspace', `${PUBLIC_URL}/workspace`],
    ['[::1]:4000', `/workspace/${ID}?a=b`, `${PUBLIC_URL}/workspace/${ID}?a=b`],
    ['[::1]', '/workspace//evil.example', `${PUBLIC_URL}/workspace//evil.example`],
  ])('sends a browser that came to %s to the public URL', async (host, path, location) => {
    for (const method of ['GET', 'HEAD']) {
      const { status, headers } = await get(path, method, { host });
      expect([status, headers['location']]).toEqual([307, location]);
    }
  });

  it('serves the page under names that a proxy in front may have put in', async () => {
    const headers = { host: 'gateway.internal:4000' };
    expect((await get(`/workspace/${ID}`, 'GET', headers)).status).toBe(200);
  });

  it('says so when it is not built', async () => {
    isBuilt = false;
    const { status, body } = await get(`/workspace/${ID}`);
    isBuilt = true;
    expect([status, body.includes('npm run build:web')]).toEqual([503, true]);
    expect(await readWebFiles(join(tmpdir(), 'nowhere'))).toBeUndefined();
  });
});

describe('a gateway', () => {
  it('has the page behind its guards', async () => {
    const front = await testFront();
    const page = await fetch(`${front.url}/workspace`);
    expect(page.status).toBe(401);
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
    const other = await fetch(`${front.url}/workspaces`);
    expect(other.headers.get('content-type')).toBe('application/json');
  });
});
