import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { newId } from '../../../../server/core/id.ts';
import type { SessionToken } from '../../../../server/gateway/auth/session-token.ts';
import { generateSigningKey, TokenSigner } from '../../../../server/gateway/auth/token-signer.ts';

const KEY = await generateSigningKey();
const SIGNER = await TokenSigner.open({ installationId: 'home', keys: [KEY] });
const TOKEN: SessionToken = {
  sequence: 1,
  kind: 'created',
  subjects: [],
  id: newId('tok'),
  sandboxId: newId('sbx'),
  description: '',
  scopes: ['terminal:read', 'terminal:write'],
  metadata: {},
  signingKeyId: SIGNER.signingKeyId,
  createdAt: 1_000_500,
  expiresAt: 2_000_500,
  lastUsedAt: null,
  endedAt: null,
  endReason: null,
};
const TEXT = await SIGNER.sign(TOKEN);
const [HEADER = '', PAYLOAD = '', SIGNATURE = ''] = TEXT.split('.');

function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString(
    'base64url',
  );
}

function decode(part: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(part, 'base64url').toString());
}

/** A token with this header and payload, signed with our own key. */
function signedByUs(header: unknown, payload: unknown): string {
  const input = `${encode(header)}.${encode(payload)}`;
  const key = { key: JSON.parse(KEY.jwk), format: 'jwk' } as const;
  return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`;
}

/** The public key's bytes, as somebody would use them who takes it for a shared secret. */
function publicSecret(): Buffer {
  const [jwk] = SIGNER.publicKeys().keys;
  return Buffer.from(jwk?.['x'] ?? '', 'base64url');
}

const GOOD_HEADER = decode(HEADER);
const GOOD_CLAIMS = decode(PAYLOAD);

test('a token says which sandbox it opens, for how long and for what', async () => {
  expect(GOOD_HEADER).toEqual({ alg: 'EdDSA', typ: 'computesdk-session+jwt', kid: KEY.id });
  expect(await SIGNER.verify(TEXT)).toEqual({
    iss: 'home',
    aud: TOKEN.sandboxId,
    jti: TOKEN.id,
    iat: 1000,
    exp: 2001,
    scope: 'terminal:read terminal:write',
  });
});

test('the same record gives the same text, also after the keys were read again', async () => {
  const again = await TokenSigner.open({
    installationId: 'home',
    keys: [await generateSigningKey(), KEY],
  });
  expect(await again.sign(TOKEN)).toBe(TEXT);
  expect(again.signingKeyId).not.toBe(KEY.id);
  expect(await again.verify(TEXT)).toBeDefined();
});

test('what is published of a key does not hold its private part', () => {
  const [jwk] = SIGNER.publicKeys().keys;
  expect(jwk).toMatchObject({ kty: 'OKP', crv: 'Ed25519', kid: KEY.id, use: 'sig', alg: 'EdDSA' });
  expect(JSON.stringify(jwk)).not.toContain(String(JSON.parse(KEY.jwk).d));
});

describe('verification refuses', () => {
  const foreign = generateKeyPairSync('ed25519').privateKey;
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const withHeader = (change: object) => signedByUs({ ...GOOD_HEADER, ...change }, GOOD_CLAIMS);
  const withClaims = (change: object) => signedByUs(GOOD_HEADER, { ...GOOD_CLAIMS, ...change });
  const unsigned = (header: unknown, signature = '') => `${encode(header)}.${PAYLOAD}.${signature}`;
  const hmac = (alg: string, secret: string | Buffer) => {
    const input = `${encode({ ...GOOD_HEADER, alg })}.${PAYLOAD}`;
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  };

  test.each([
    ['nothing', ''],
    ['two parts', `${HEADER}.${PAYLOAD}`],
    ['five parts', `${TEXT}.a.b`],
    ['alg none', unsigned({ ...GOOD_HEADER, alg: 'none' })],
    ['alg none with our signature', unsigned({ ...GOOD_HEADER, alg: 'none' }, SIGNATURE)],
    ['HMAC with the public key', hmac('HS256', publicSecret())],
    ['HMAC with the key id', hmac('HS256', KEY.id)],
    ['another algorithm in the header', withHeader({ alg: 'RS256' })],
    ['the new name of the algorithm', withHeader({ alg: 'Ed25519' })],
    ['another type', withHeader({ typ: 'JWT' })],
    ['no type', signedByUs({ alg: 'EdDSA', kid: KEY.id }, GOOD_CLAIMS)],
    ['no key id', signedByUs({ alg: 'EdDSA', typ: GOOD_HEADER['typ'] }, GOOD_CLAIMS)],
    ['a path as key id', withHeader({ kid: '../../etc/passwd' })],
    ['SQL as key id', withHeader({ kid: "' OR 1=1 --" })],
    ['an address as key id', withHeader({ kid: 'http://127.0.0.1:1/key' })],
    ['a huge key id', withHeader({ kid: 'x'.repeat(10_000) })],
    ['a key id that every object has', withHeader({ kid: '__proto__' })],
    ['jku', withHeader({ jku: 'http://127.0.0.1:1/jwks' })],
    ['x5u', withHeader({ x5u: 'http://127.0.0.1:1/cert' })],
    ['jwk', withHeader({ jwk: foreign.export({ format: 'jwk' }) })],
    ['crit', withHeader({ crit: ['exp'] })],
    ['b64', withHeader({ b64: false, crit: ['b64'] })],
    ['a header that is no object', signedByUs([], GOOD_CLAIMS)],
    ['a header that is no JSON', signedByUs('{', GOOD_CLAIMS)],
    [
      'a swapped key',
      `${HEADER}.${PAYLOAD}.${sign(null, Buffer.from(`${HEADER}.${PAYLOAD}`), foreign).toString('base64url')}`,
    ],
    [
      'an RSA signature',
      `${HEADER}.${PAYLOAD}.${sign('sha256', Buffer.from(`${HEADER}.${PAYLOAD}`), rsa).toString('base64url')}`,
    ],
    ['changed claims', `${HEADER}.${encode({ ...GOOD_CLAIMS, aud: newId('sbx') })}.${SIGNATURE}`],
    ['claims that are no JSON', signedByUs(GOOD_HEADER, 'x')],
    ['exp missing', withClaims({ exp: undefined })],
    ['exp as a string', withClaims({ exp: '2001' })],
    ['nbf', withClaims({ nbf: 1 })],
    ['a claim that is not ours', withClaims({ admin: true })],
    ['a token of many kilobytes', withClaims({ scope: 'x'.repeat(100_000) })],
  ])('%s', async (_name, text) => {
    expect(await SIGNER.verify(text)).toBeUndefined();
  });

  test('fifteen other spellings of the signature', async () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const last = alphabet.indexOf(SIGNATURE.at(-1) ?? '');
    const same = [...alphabet].filter((_char, index) => index >> 4 === last >> 4);
    expect(same).toHaveLength(16);
    const accepted = [];
    for (const char of same) {
      const claims = await SIGNER.verify(`${TEXT.slice(0, -1)}${char}`);
      if (claims) accepted.push(char);
    }
    expect(accepted).toEqual([TEXT.at(-1)]);
  });
});

describe('the record decides', () => {
  test.each([
    ['huge', { exp: Number.MAX_SAFE_INTEGER }],
    ['negative', { exp: -1 }],
    ['of another sandbox', { aud: newId('sbx') }],
    ['of another installation', { iss: 'elsewhere' }],
    ['with more scopes', { scope: 'files:write terminal:read terminal:write' }],
    ['made at another time', { iat: 1001 }],
  ])('a genuine signature does not help claims that are %s', async (_name, change) => {
    const claims = await SIGNER.verify(signedByUs(GOOD_HEADER, { ...GOOD_CLAIMS, ...change }));
    expect(claims).toBeDefined();
    expect(claims && SIGNER.matches(claims, TOKEN)).toBe(false);
  });

  test('its own claims match', async () => {
    const claims = await SIGNER.verify(TEXT);
    expect(claims && SIGNER.matches(claims, TOKEN)).toBe(true);
  });
});
