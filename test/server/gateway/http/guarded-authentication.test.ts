import { describe, expect, test } from 'vitest';
import { ADDRESS_BURST, addressLimiter } from '../../../../server/gateway/http/address-limiter.ts';
import {
  CREDENTIAL_BURST,
  GuardedAuthentication,
} from '../../../../server/gateway/http/guarded-authentication.ts';
import { API_KEY, NEVER, PLAIN_SANDBOX, PLAIN_TOKEN, testCore } from '../support/test-core.ts';

const HERE = { address: '203.0.113.9', bucket: '203.0.113.9', isLimited: true };
const THERE = { ...HERE, address: '198.51.100.1', bucket: '198.51.100.1' };
const LOCAL = { address: '127.0.0.1', bucket: '127.0.0.1', isLimited: false };

async function bench() {
  const core = await testCore();
  const { clock, owner } = core;
  const guarded = new GuardedAuthentication({
    ...{ inner: core.authentication, audit: core.audit, clock },
    addresses: addressLimiter(clock),
  });
  const sandbox = await core.sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
  const newToken = () => core.tokens.create(owner, { ...PLAIN_TOKEN, sandboxId: sandbox.id });
  const authenticate = async (credential: string, client = HERE) => {
    const authorization = `Bearer ${credential}`;
    const rest = { cookie: undefined, origin: undefined, sandboxId: sandbox.id };
    try {
      await guarded.authenticate({ authorization, ...rest, client: () => client }, clock.now());
      return 'ok';
    } catch (error) {
      const { reason, retryAfterMs } = error as { reason: string; retryAfterMs?: number };
      return retryAfterMs === undefined ? reason : `${reason} ${retryAfterMs}`;
    }
  };
  const exhaust = async () => {
    for (let index = 0; index < ADDRESS_BURST; index += 1) {
      expect(await authenticate('wrong')).toBe('UNAUTHENTICATED');
    }
  };
  return { ...core, sandboxId: sandbox.id, newToken, authenticate, exhaust };
}

describe('an address that sent too many credentials that are none', () => {
  test('is refused before the next one is looked at, and let in again later', async () => {
    const { authenticate, exhaust, newToken, clock } = await bench();
    const { text } = await newToken();
    await exhaust();
    expect(await authenticate('wrong')).toBe('RATE_LIMITED 1000');
    // The right guess must not be told from a wrong one.
    expect(await authenticate(API_KEY)).toBe('RATE_LIMITED 1000');
    expect(await authenticate(text)).toBe('RATE_LIMITED 1000');
    clock.advance(1_000);
    expect(await authenticate(text)).toBe('ok');
    expect(await authenticate(API_KEY)).toBe('ok');
  });

  test('keeps the tokens that it showed before, and takes nothing from others', async () => {
    const { authenticate, exhaust, newToken } = await bench();
    const { text } = await newToken();
    expect(await authenticate(text)).toBe('ok');
    await exhaust();
    expect(await authenticate(text)).toBe('ok');
    expect(await authenticate('wrong', THERE)).toBe('UNAUTHENTICATED');
    expect(await authenticate(API_KEY, THERE)).toBe('ok');
  });

  test('is not refused when it is this machine', async () => {
    const { authenticate } = await bench();
    for (let index = 0; index < ADDRESS_BURST + 10; index += 1) {
      expect(await authenticate('wrong', LOCAL)).toBe('UNAUTHENTICATED');
    }
  });
});

test('a credential that makes too many calls is refused, another one is not', async () => {
  const { authenticate, newToken, clock } = await bench();
  const { text } = await newToken();
  for (let index = 0; index < CREDENTIAL_BURST; index += 1) {
    expect(await authenticate(text)).toBe('ok');
  }
  expect(await authenticate(text)).toBe('RATE_LIMITED 1000');
  expect(await authenticate((await newToken()).text)).toBe('ok');
  clock.advance(1_000);
  expect(await authenticate(text)).toBe('ok');
});

test('the audit log is told of every refusal, with the token if it was genuine', async () => {
  const { authenticate, newToken, tokens, owner, sandboxId, audited } = await bench();
  const { token, text } = await newToken();
  await tokens.revoke(owner, { sandboxId, tokenId: token.id });
  audited.length = 0;
  await authenticate(text);
  await authenticate('not-the-key');
  await authenticate('a.b.c');
  const from = { sandboxId, address: HERE.address };
  expect(audited).toEqual([
    {
      ...from,
      event: 'session_token.refused',
      reason: 'REVOKED',
      actor: token.id,
      subject: token.id,
    },
    { ...from, event: 'api_key.refused', reason: 'UNAUTHENTICATED', actor: 'unknown' },
    { ...from, event: 'session_token.refused', reason: 'UNAUTHENTICATED', actor: 'unknown' },
  ]);
  expect(JSON.stringify(audited)).not.toContain(text);
});
