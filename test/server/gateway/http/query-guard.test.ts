import { expect, it } from 'vitest';
import { credentialInQuery } from '../../../../server/gateway/http/query-guard.ts';
import { testFront } from '../support/test-front.ts';

it.each([
  '/x?token=v',
  '/x?token',
  '/x?a=b&access_token=v',
  '/x?ACCESS-Token=v',
  '/x?%74oken=v',
  '/x?session_token=v',
  '/x?apiKey=v',
  '/x?api_key=v',
  '/x?authorization=v',
])('a credential in %s is refused', (target) => {
  expect(credentialInQuery(target)?.reason).toBe('INVALID_ARGUMENT');
});

it.each(['/x', '/x?', '/x?a=token', '/token', '/x?%=token', '/x?tokens=1', '/x?message=a'])(
  '%s holds none',
  (target) => {
    expect(credentialInQuery(target)).toBeUndefined();
  },
);

it('a credential in an address is refused everywhere, neither repeated nor logged', async () => {
  const front = await testFront();
  const secret = 'the-secret-in-the-address';
  for (const path of [
    '/',
    '/healthz',
    '/.well-known/jwks.json',
    '/computesdk.v1.AuthService/WhoAmI',
    '/sandboxes/sbx00000000000000000000000000/computesdk.v1.TerminalService/ListTerminals',
    '/nothing/here',
    '//',
  ]) {
    for (const name of ['token', 'access_token']) {
      for (const method of ['GET', 'POST']) {
        const answer = await fetch(`${front.url}${path}?${name}=${secret}`, { method });
        expect(answer.status, path).toBe(400);
        const text = await answer.text();
        expect(JSON.parse(text)).toMatchObject({ code: 'invalid_argument' });
        expect(text).not.toContain(secret);
      }
    }
  }
  expect(front.lines.join('')).not.toContain(secret);
});
