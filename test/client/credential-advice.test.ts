import { Code } from '@connectrpc/connect';
import { describe, expect, it, vi } from 'vitest';
import { cookieCredential, TokenCredential } from '../../client/connection/credential.ts';
import { adviseOnConnect } from '../../client/credential-advice.ts';
import { SandboxError, unreachable } from '../../client/errors.ts';
import { Sandbox } from '../../client/sandbox.ts';
import { ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import { refusal } from './support/fake-terminal.ts';

const CHROME = 'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36';
const SAFARI = 'Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/18.5 Safari/605.1.15';
const REFUSED = new SandboxError('unauthenticated', 'a valid credential is needed');

function advice(url: string, pageOrigin: string | undefined, userAgent = CHROME): string {
  const around = { pageOrigin, userAgent };
  const error = adviseOnConnect(REFUSED, { url, credential: cookieCredential, around });
  expect(error).toMatchObject({ code: 'unauthenticated', cause: REFUSED });
  return String(error);
}

describe('a connect without a token that no valid cookie arrives for', () => {
  it('says so, and names what is likely where the page is', () => {
    const same = advice('https://gate.test/sandboxes/sbx1', 'https://gate.test');
    expect(same).toContain('no token was given, and no valid cookie arrived at https://gate.test');
    expect(same).toContain('no magic link of it was used here yet');
    expect(same).not.toMatch(/ALLOWED_ORIGINS|SameSite|Safari/);

    const sibling = advice('http://localhost:4000/sandboxes/sbx1', 'http://localhost:3000');
    expect(sibling).toContain('http://localhost:3000 is not listed');
    expect(sibling).toContain('COMPUTESDK_ALLOWED_ORIGINS');
    expect(sibling).not.toMatch(/SameSite|Safari/);

    const foreign = advice('https://gate.test/sandboxes/sbx1', 'https://app.example');
    expect(foreign).toContain('SameSite=Lax');
  });

  it('names Safari on cleartext, and only Safari', () => {
    const url = 'http://localhost:4000/sandboxes/sbx1';
    expect(advice(url, 'http://localhost:4000', SAFARI)).toContain('Safari keeps no secure cookie');
    expect(advice(url.replace('http:', 'https:'), 'https://localhost:4000', SAFARI)).not.toContain(
      'Safari',
    );
  });

  it('asks for a token outside of a browser', async () => {
    const gateway = new FakeGateway();
    gateway.accessRefusal = refusal(Code.Unauthenticated, ErrorReason.UNAUTHENTICATED);
    await expect(gateway.connectByCookie()).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('pass `token`'),
    });
  });

  it('sends the browser its cookies, and no header', async () => {
    const fetched: RequestInit[] = [];
    vi.stubGlobal('fetch', async (_input: string, init: RequestInit) => {
      fetched.push(init);
      return new Response('', { headers: { 'content-type': 'application/proto' } });
    });
    try {
      const sandbox = await Sandbox.connect({ url: 'http://localhost:1/sandboxes/sbx1' });
      const byToken = { url: 'http://localhost:1/sandboxes/sbx1', token: 'token' };
      await Promise.all([sandbox.disconnect(), (await Sandbox.connect(byToken)).disconnect()]);
    } finally {
      vi.unstubAllGlobals();
    }
    expect(fetched.map(({ credentials }) => credentials)).toEqual(['include', 'omit']);
    const headers = fetched.map((init) => new Headers(init.headers).get('authorization'));
    expect(headers).toEqual([null, 'Bearer token']);
  });
});

describe('a gateway that a page cannot reach', () => {
  const url = 'https://gate.test/sandboxes/sbx1';
  const failure = unreachable('Failed to fetch');
  const credential = new TokenCredential('token');
  const adviseAt = (pageOrigin: string | undefined) =>
    adviseOnConnect(failure, { url, credential, around: { pageOrigin, userAgent: CHROME } });

  it('may have refused its origin, which the browser hides', () => {
    expect(adviseAt('https://app.test')).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('is https://app.test listed'),
    });
    expect(adviseAt('https://gate.test')).toBe(failure);
    expect(adviseAt(undefined)).toBe(failure);
  });
});
