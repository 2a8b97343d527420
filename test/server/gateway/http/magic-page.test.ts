import { describe, expect, test } from 'vitest';
import { withLink } from '../support/sign-in.ts';
import { APP_ORIGIN } from '../support/test-core.ts';
import { type TestFront, testFront } from '../support/test-front.ts';

type Ask = { method?: string; headers?: Record<string, string> };

function ask(front: TestFront, secret: string, { method = 'GET', headers = {} }: Ask = {}) {
  return fetch(`${front.url}/magic/${secret}`, { method, headers, redirect: 'manual' });
}

/** Presses the button as the page at the gateway's own origin does. */
function press(front: TestFront, secret: string, headers: Record<string, string> = {}) {
  return ask(front, secret, { method: 'POST', headers: { origin: front.url, ...headers } });
}

describe('the page of a link', () => {
  test('shows one button, names the sandbox, and may lead to the app only', async () => {
    const front = await testFront();
    const { sandboxId, secret } = await withLink(front, { description: '<b>Ada</b>' });
    const answer = await ask(front, secret);
    const text = await answer.text();
    expect(answer.status).toBe(200);
    expect(text).toContain(sandboxId);
    expect(text).toContain('&lt;b&gt;Ada&lt;/b&gt;');
    expect(text.match(/<button/g)).toHaveLength(1);
    expect(text).not.toContain('<script');
    expect(text).not.toContain(secret);
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy).toContain(`form-action 'self' ${APP_ORIGIN};`);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).toContain("default-src 'none'");
    expect(answer.headers.get('referrer-policy')).toBe('same-origin');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('set-cookie')).toMatch(
      /^__Host-computesdk-link=[\w-]{22}; Path=\/; Max-Age=900; HttpOnly; Secure; SameSite=Strict$/,
    );
  });

  test('uses nothing up, however often and however it is asked for', async () => {
    const front = await testFront();
    const { secret } = await withLink(front);
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PROPFIND']) {
      const answer = await ask(front, secret, { method, headers: { 'sec-purpose': 'prefetch' } });
      expect(answer.headers.get('set-cookie') ?? '').not.toContain('__Host-computesdk=');
    }
    expect((await press(front, secret)).status).toBe(303);
  });

  test('answers HEAD like GET, without a body and without a cookie', async () => {
    const front = await testFront();
    const { secret } = await withLink(front);
    const answer = await ask(front, secret, { method: 'HEAD' });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe('');
    expect(answer.headers.get('set-cookie')).toBe(null);
  });

  test('keeps the nonce that the browser has', async () => {
    const front = await testFront();
    const { secret } = await withLink(front);
    const headers = { cookie: '__Host-computesdk-link=mine' };
    expect((await ask(front, secret, { headers })).headers.get('set-cookie')).toBe(null);
  });
});

describe('the button', () => {
  test('signs in, leads to the app, and tells nobody where from', async () => {
    const front = await testFront();
    const { sandboxId, secret } = await withLink(front, { redirectUrl: '/project/7?x=1#y' });
    const answer = await press(front, secret);
    expect(answer.status).toBe(303);
    expect(answer.headers.get('location')).toBe(`${APP_ORIGIN}/project/7?x=1#y`);
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const cookie = answer.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(
      /^__Host-computesdk=[\w-]{43}; Path=\/; Max-Age=604800; HttpOnly; Secure; SameSite=Lax$/,
    );
    const who = await front.post(
      `/sandboxes/${sandboxId}/computesdk.v1.AuthService/WhoAmI`,
      {},
      { cookie: cookie.split(';', 1)[0] ?? '', origin: front.url },
    );
    expect(who).toMatchObject({
      status: 200,
      json: { kind: 'PRINCIPAL_KIND_BROWSER_SESSION', sandboxId },
    });
  });

  test.each([
    ['a foreign origin', { origin: 'https://evil.example' }],
    ['no origin to tell', { origin: 'null' }],
    ['the app, whose page is not ours', { origin: APP_ORIGIN }],
    ['neither origin nor site', { origin: '' }],
  ])('does nothing for %s', async (_name, headers) => {
    const front = await testFront();
    const { secret } = await withLink(front);
    const answer = await ask(front, secret, { method: 'POST', headers });
    expect(answer.status).toBe(403);
    expect(answer.headers.get('set-cookie')).toBe(null);
    expect((await press(front, secret)).status).toBe(303);
  });

  test.each(['same-site', 'cross-site', 'none'])(
    'does nothing without an origin when the site is %s',
    async (site) => {
      const front = await testFront();
      const { secret } = await withLink(front);
      const headers = { 'sec-fetch-site': site };
      expect((await ask(front, secret, { method: 'POST', headers })).status).toBe(403);
    },
  );

  test('works for browsers that send no origin but say that the page is ours', async () => {
    const front = await testFront();
    const { secret } = await withLink(front);
    const headers = { 'sec-fetch-site': 'same-origin' };
    expect((await ask(front, secret, { method: 'POST', headers })).status).toBe(303);
  });

  test('of a used, revoked, expired or unknown link shows a page and sets no cookie', async () => {
    const front = await testFront();
    const { links } = front.access;
    const [used, revoked, expired] = [
      await withLink(front),
      await withLink(front),
      await withLink(front, { expiresInMs: 1000 }),
    ];
    await press(front, used.secret);
    await links.revoke(front.owner, { sandboxId: revoked.sandboxId, linkId: revoked.link.id });
    front.clock.advance(1000);
    const expected = [
      [used.secret, 410, 'used already'],
      [revoked.secret, 410, 'was revoked'],
      [expired.secret, 410, 'has expired'],
      ['A'.repeat(43), 404, 'is unknown'],
      ['%00..%2f', 404, 'is unknown'],
      ['', 404, 'is unknown'],
    ] as const;
    for (const [secret, status, text] of expected) {
      for (const answer of [await press(front, secret), await ask(front, secret)]) {
        expect(answer.status).toBe(status);
        expect(answer.headers.get('set-cookie')).toBe(null);
        expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
        expect(await answer.text()).toContain(text);
      }
    }
  });

  test('leaves no secret in the log', async () => {
    const front = await testFront();
    const { secret } = await withLink(front);
    await ask(front, secret);
    const cookie = (await press(front, secret)).headers.get('set-cookie') ?? '';
    await press(front, secret);
    const log = front.lines.join('');
    expect(log).toContain('signed_in');
    expect(log).not.toContain(secret);
    expect(log).not.toContain(cookie.slice(18, 40));
  });
});

describe('signing out', () => {
  test('ends the session, and takes the cookie back when it is worth nothing', async () => {
    const front = await testFront();
    const { sandboxId, secret } = await withLink(front);
    const answer = await press(front, secret);
    const cookie = (answer.headers.get('set-cookie') ?? '').split(';', 1)[0] ?? '';
    const address = `${front.url}/sandboxes/${sandboxId}/computesdk.v1.AuthService/SignOut`;
    const headers = { cookie, origin: front.url, 'content-type': 'application/json' };
    const signOut = () => fetch(address, { method: 'POST', headers, body: '{}' });
    const out = await signOut();
    expect(out.status).toBe(200);
    expect(out.headers.get('set-cookie')).toBe(
      '__Host-computesdk=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax',
    );
    expect((await signOut()).status).toBe(401);
  });

  test('is not for API keys and session tokens', async () => {
    const front = await testFront();
    const { sandboxId } = await withLink(front);
    const { text } = await front.tokens.create(front.owner, {
      ...{ sandboxId, requestId: '', description: '', scopes: [], metadata: {} },
    });
    const answer = await front.post(
      `/sandboxes/${sandboxId}/computesdk.v1.AuthService/SignOut`,
      {},
      { authorization: `Bearer ${text}` },
    );
    expect(answer).toMatchObject({ status: 400, json: { code: 'failed_precondition' } });
  });
});
